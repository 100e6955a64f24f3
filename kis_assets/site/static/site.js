// kis-assets site: of every page its language and its theme, the search, and how numbers are written.
// Loaded before the page is shown. What pages show comes by text alone, never as markup.
"use strict";

const site = (() => {
  const root = document.documentElement;
  const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* private */ } };
  const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };

  root.lang = kept("language") || (navigator.language.startsWith("ko") ? "ko" : "en");
  if (["light", "dark"].includes(kept("theme"))) root.dataset.theme = kept("theme");
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const painted = [];
  const repaint = () => painted.forEach((again) => again());

  const element = (tag, content, how) => {
    const made = Object.assign(document.createElement(tag), how);
    made.append(...[content].flat().filter((it) => it !== undefined && it !== null));
    return made;
  };
  const both = (korean, english) => korean === english ? [korean]
    : [element("span", korean, {lang: "ko"}), element("span", english, {lang: "en"})];

  const whole = (value, digits = 0) => value === null || value === undefined ? "–"
    : value.toLocaleString("en", {minimumFractionDigits: digits, maximumFractionDigits: digits});
  const short = (value, units) => {
    const [unit, size] = units.find(([, size]) => Math.abs(value) >= size) || ["", 1];
    return whole(value / size, size > 1 && Math.abs(value / size) < 100 ? 1 : 0) + unit;
  };
  const UNITS = {
    ko: [["조", 1e12], ["억", 1e8], ["만", 1e4]],
    en: [[" tn", 1e12], [" bn", 1e9], [" m", 1e6]],
  };
  const won = (value) => value === null || value === undefined ? ["–"]
    : both(short(value, UNITS.ko), short(value, UNITS.en));
  const way = (value) => value > 0 ? "up" : value < 0 ? "down" : "";
  const percent = (value) => value === null || value === undefined ? "–"
    : `${value > 0 ? "+" : ""}${value.toFixed(2)} %`;

  addEventListener("DOMContentLoaded", () => {
    const home = document.body.dataset.root;
    document.querySelector("[data-language]").onclick = () => {
      root.lang = root.lang === "ko" ? "en" : "ko";
      keep("language", root.lang);
      repaint();
    };
    document.querySelector("[data-theme-switch]").onclick = () => {
      root.dataset.theme = dark() ? "light" : "dark";
      keep("theme", root.dataset.theme);
      repaint();
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    const form = document.querySelector("[data-search]");
    form.onsubmit = (event) => {
      event.preventDefault();
      const first = document.querySelector(".market tbody a");
      if (document.body.dataset.page !== "index") {
        location.href = `${home}index.html?q=${encodeURIComponent(form.q.value)}`;
      } else if (form.q.value.trim() && first) {
        location.href = first.href;
      }
    };
    addEventListener("keydown", (event) => {
      if (event.key === "/" && !event.target.closest("input")) {
        event.preventDefault();
        form.q.focus();
      }
    });
  });
  return {
    element, both, whole, won, way, percent,
    inOneLanguage: (value) => short(value, UNITS[root.lang]),
    onRepaint: (again) => painted.push(again),
    market: (given) => { addEventListener("DOMContentLoaded", () => showMarket(given)); },
  };
})();

// The table of all stocks: what is typed narrows it, a heading sorts it.
function showMarket(rows) {
  const {element, both, whole, won, way, percent} = site;
  const STEP = 50;
  const plain = (text) => text.normalize("NFC").toLowerCase().replace(/\s+/g, "");
  // 삼성전자 is also found by ㅅㅅㅈㅈ.
  const initials = (text) => text.replace(/[가-힣]/g, (letter) =>
    "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"[Math.floor((letter.charCodeAt(0) - 0xac00) / 588)]);
  const stocks = rows.map(([code, name, english, market, price, rate, value, cap]) => ({
    code, name, english: english || name, market, price, rate, value, cap,
    words: [code, name, english || "", initials(name.normalize("NFC"))].map(plain),
  }));
  const input = document.querySelector("[data-search]").q;
  const [body, more] = [document.querySelector(".market tbody"), document.querySelector("[data-more]")];
  let by = "value", sign = -1, shown = STEP;

  const row = (it) => element("tr", [
    element("td", [element("a", both(it.name, it.english), {href: `stock.html?${it.code}`}),
      element("small", it.code)]),
    element("td", it.market || "", {className: "wide-only"}),
    element("td", whole(it.price), {className: "n"}),
    element("td", element("span", percent(it.rate), {className: way(it.rate)}), {className: "n"}),
    element("td", won(it.value), {className: "n"}),
    element("td", won(it.cap), {className: "n wide-only"}),
  ]);
  // The name or code itself first, then what begins with it, then what holds it.
  const rank = (it, text) => Math.min(...it.words.map((word) =>
    word === text ? 0 : word.startsWith(text) ? 1 : word.includes(text) ? 2 : 3));
  const show = () => {
    const text = plain(input.value.trim());
    const key = (it) => by === "name" ? (document.documentElement.lang === "ko" ? it.name : it.english) : it[by];
    const found = stocks.map((it) => [text ? rank(it, text) : 0, it]).filter(([place]) => place < 3);
    found.sort(([first, a], [second, b]) => {
      const [x, y] = [key(a), key(b)];
      if (first !== second) return first - second;
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (by === "name" ? x.localeCompare(y) : x - y) || a.code.localeCompare(b.code);
    });
    body.replaceChildren(...found.slice(0, shown).map(([, it]) => row(it)));
    const count = found.length.toLocaleString("en");
    document.querySelector("[data-count]").replaceChildren(...both(`${count}종목`, count));
    document.querySelector("[data-none]").hidden = found.length > 0;
    more.hidden = found.length <= shown;
  };
  input.oninput = () => { shown = STEP; show(); };
  more.onclick = () => { shown += 4 * STEP; show(); };
  for (const button of document.querySelectorAll("[data-sort]")) {
    button.onclick = () => {
      sign = by === button.dataset.sort ? -sign : button.dataset.sort === "name" ? 1 : -1;
      by = button.dataset.sort;
      for (const head of document.querySelectorAll("th[aria-sort]")) {
        head.setAttribute("aria-sort", head.contains(button) ? (sign < 0 ? "descending" : "ascending") : "none");
      }
      show();
    };
  }
  input.value = new URLSearchParams(location.search).get("q") || "";
  show();
}
