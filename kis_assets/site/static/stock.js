// The page of one stock, whose code stands behind the question mark: its data is a file of its own.
"use strict";

site.stock = (it) => {
  const {element, both, whole, won, way, percent} = site;
  const all = (selector) => [...document.querySelectorAll(selector)];
  const one = (selector) => document.querySelector(selector);
  const fill = (name, content) =>
    all(`[data-fill="${name}"]`).forEach((place) => place.replaceChildren(...[content].flat()));
  const cell = (content, numeric = true) => element("td", content, {className: numeric ? "n" : ""});
  const signed = (value) => element("span", [value > 0 ? "+" : "", ...won(value)], {className: way(value)});

  const heading = both(it.name, it.english || it.name);
  document.title = `${it.name} ${it.code} · ${document.title}`;
  fill("name", [...heading, " ", element("small", it.code, {className: "muted"})]);
  fill("about", [it.market, it.sector, it.listed_on].filter(Boolean).join(" · "));
  one("[data-halted]").hidden = !it.halted;
  one("[data-administrative]").hidden = !it.administrative;
  fill("price", whole(it.price));
  if (it.rate !== null) {
    fill("change", element("span", `${it.change > 0 ? "▲" : it.change < 0 ? "▼" : ""} ${whole(Math.abs(it.change))}  ${percent(it.rate)}`,
      {className: way(it.rate)}));
  }
  if (it.priced_at) fill("priced_at", both(`${it.priced_at} 기준`, `as of ${it.priced_at}`));
  for (const name of ["open", "high", "low", "volume", "week52_high", "week52_low"]) fill(name, whole(it[name]));
  for (const name of ["trading_value", "market_cap"]) fill(name, won(it[name]));
  for (const name of ["per", "pbr"]) fill(name, whole(it[name], 2));
  for (const name of ["dividend_yield", "foreign_rate"]) fill(name, it[name] === null ? "–" : `${it[name].toFixed(2)} %`);
  for (const section of all("[data-of]")) {
    if (it[section.dataset.of]) continue;
    const head = section.querySelector("h2");
    section.replaceChildren(head, one("#nothing").content.cloneNode(true));
  }

  // Charts

  const probe = document.body.appendChild(element("span", "", {hidden: true}));
  const colour = (name, className = "") => {
    probe.className = className;
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const faint = (rgb) => rgb.replace("rgb(", "rgba(").replace(")", ", 0.38)");
  const seconds = (days) => days * 86400;
  const chart = (name, draw, options = {}) => {
    const place = one(`[data-chart="${name}"]`);
    if (!place) return;
    const made = LightweightCharts.createChart(place, {
      autoSize: true,
      layout: {attributionLogo: false, background: {color: "transparent"}, fontSize: 11},
      rightPriceScale: {borderVisible: false, entireTextOnly: true},
      timeScale: {borderVisible: false, rightOffset: 2, ...options.timeScale},
      handleScroll: {mouseWheel: false, vertTouchDrag: false},
      handleScale: {mouseWheel: false},
      localization: {dateFormat: "yyyy-MM-dd"},
    });
    const mock = document.body.dataset.mock &&
      LightweightCharts.createTextWatermark(made.panes()[0], {});
    const paint = draw(made);
    const repaint = () => {
      const line = colour("line");
      made.applyOptions({
        localization: {locale: document.documentElement.lang},
        layout: {textColor: colour("muted"), panes: {separatorColor: line}},
        grid: {vertLines: {color: line}, horzLines: {color: line}},
      });
      if (mock) {
        mock.applyOptions({lines: [{text: document.body.dataset.mock, fontSize: 54, color: faint(colour("muted")).replace("0.38", "0.2"), fontStyle: "bold"}]});
      }
      paint();
    };
    repaint();
    site.onRepaint(repaint);
    return made;
  };
  const decoded = (given) => {
    let day = 0, close = 0;
    return given.days.map((step, place) => {
      close += given.close[place];
      return {
        time: seconds(day += step), open: close + given.open[place], high: close + given.high[place],
        low: close + given.low[place], close, volume: given.volume[place],
      };
    });
  };
  const volumes = (bars) => bars.map((bar) =>
    ({time: bar.time, value: bar.volume, color: faint(colour(bar.close < bar.open ? "down" : "up"))}));
  // Sessions that are not stored take some room, grey and without a value: they are not joined.
  const ROOM = 8;
  const between = (before, after, count, step) => Array.from({length: count}, (_, place) =>
    before + step * Math.round((after - before) / step * (place + 1) / (count + 1)));
  const spread = (points, gaps) => {
    const missing = new Map(gaps);
    return points.flatMap((point, place) => missing.has(place)
      ? [...between(points[place - 1].time, point.time, Math.min(missing.get(place), ROOM), 86400).map((time) => ({time})), point]
      : [point]);
  };
  const greyed = (chart) => {
    const series = chart.addSeries(HistogramSeries, {priceScaleId: "gaps", lastValueVisible: false, priceLineVisible: false});
    series.priceScale().applyOptions({scaleMargins: {top: 0, bottom: 0}});
    return (points) => series.setData(points.filter((it) => Object.keys(it).length === 1)
      .map(({time}) => ({time, value: 1, color: faint(colour("muted")).replace("0.38", "0.16")})));
  };
  const tellGaps = (name, times, gaps) => {
    const note = one(`[data-note="${name}"]`);
    note.hidden = !gaps.length;
    const told = gaps.slice(-3).map(([place, count]) => [count, day(times[place - 1]), day(times[place])]);
    const more = gaps.length - told.length;
    note.replaceChildren(...both(
      `회색: 저장되지 않은 거래일 (${told.map(([count, from, to]) => `${from}과 ${to} 사이 ${count}일`).join(", ")}${more ? `, 외 ${more}건` : ""}).`,
      `Grey: sessions that are not stored (${told.map(([count, from, to]) => `${count} between ${from} and ${to}`).join(", ")}${more ? `, and ${more} more gaps` : ""}).`));
  };
  const {CandlestickSeries, HistogramSeries, BaselineSeries, LineSeries} = LightweightCharts;
  const krw = {type: "custom", minMove: 1, formatter: (value) => whole(value)};
  const compact = {type: "custom", minMove: 1, formatter: site.inOneLanguage};

  const day = (time) => new Date(time * 1000).toISOString().slice(0, 10);
  if (it.candles) {
    const raw = decoded(it.candles);
    const {adjusted} = it;
    const rows = {raw, adjusted: adjusted ? raw.map((bar, place) => ({
      time: bar.time, open: adjusted.open[place], high: adjusted.high[place], low: adjusted.low[place],
      close: adjusted.close[place], volume: adjusted.volume[place],
    })) : raw};
    const {gaps} = it.candles;
    const length = spread(raw, gaps).length;
    tellGaps("gaps", raw.map(({time}) => time), gaps);
    let prices = "adjusted", span = 126, redraw;
    const made = chart("candles", (chart) => {
      const candles = chart.addSeries(CandlestickSeries, {priceFormat: krw, borderVisible: false, priceLineVisible: false});
      const bars = chart.addSeries(HistogramSeries,
        {priceFormat: compact, lastValueVisible: false, priceLineVisible: false}, 1);
      chart.panes()[1].setStretchFactor(0.28);
      bars.priceScale().applyOptions({scaleMargins: {top: 0.3, bottom: 0}});
      const grey = greyed(chart);
      redraw = () => {
        const points = spread(rows[prices], gaps);
        candles.setData(points);
        grey(points);
        bars.setData(volumes(rows[prices]));
      };
      return () => {
        const [up, down] = [colour("up"), colour("down")];
        candles.applyOptions({upColor: up, wickUpColor: up, downColor: down, wickDownColor: down});
        redraw();
      };
    });
    const zoom = () => made.timeScale().setVisibleLogicalRange(
      // Where all days are shown, room for the label of the first.
      {from: span && length > span ? length - span - 0.5 : -Math.max(0.5, length / 30), to: length + 1});
    const pressed = (name, value) => all(`[data-${name}]`).forEach((button) =>
      button.setAttribute("aria-pressed", String(button.dataset[name] === value)));
    const told = () => {
      one('[data-note="adjusted"]').hidden = prices === "raw" || !adjusted;
      one('[data-note="same"]').hidden = prices === "raw" || Boolean(adjusted) || !it.actions_known;
      one('[data-note="unknown"]').hidden = prices === "raw" || it.actions_known;
      one('[data-note="provisional"]').hidden = !it.provisional;
      one('[data-rows="candles"]').replaceChildren(...rows[prices].slice(-10).reverse().map((bar) =>
        element("tr", [cell(day(bar.time), false),
          ...["open", "high", "low", "close", "volume"].map((name) => cell(whole(bar[name])))])));
    };
    all("[data-prices]").forEach((button) => button.addEventListener("click", () => {
      prices = button.dataset.prices;
      pressed("prices", prices);
      redraw();
      zoom();
      told();
    }));
    all("[data-span]").forEach((button) => button.addEventListener("click", () => {
      span = Number(button.dataset.span);
      pressed("span", button.dataset.span);
      zoom();
    }));
    zoom();
    told();
  }

  if (it.minutes) {
    const {minutes} = it;
    let minute = 0, price = 0;
    const bars = minutes.minutes.map((step, place) => {
      const before = price;
      price += minutes.close[place];
      return {time: seconds(minutes.day) + 60 * (minute += step), open: place ? before : price, close: price, volume: minutes.volume[place]};
    });
    fill("minutes_of", day(bars[0].time));
    chart("minutes", (chart) => {
      const base = minutes.base || bars[0].close;
      const line = chart.addSeries(BaselineSeries,
        {priceFormat: krw, baseValue: {type: "price", price: base}, lineWidth: 2, priceLineVisible: false});
      const before = line.createPriceLine({price: base, lineWidth: 1, lineStyle: 2, axisLabelVisible: true, title: ""});
      const traded = chart.addSeries(HistogramSeries,
        {priceFormat: compact, lastValueVisible: false, priceLineVisible: false}, 1);
      chart.panes()[1].setStretchFactor(0.28);
      traded.priceScale().applyOptions({scaleMargins: {top: 0.3, bottom: 0}});
      const UNDRAWN = Object.fromEntries(["topLineColor", "topFillColor1", "topFillColor2",
        "bottomLineColor", "bottomFillColor1", "bottomFillColor2"].map((name) => [name, "transparent"]));
      // Minutes without a trade keep their place. Between two sessions nothing could be traded.
      const begins = new Set(minutes.begins);
      const points = bars.flatMap(({time, close}, place) => {
        const next = bars[place + 1];
        if (!next) return [{time, value: close}];
        const missing = (next.time - time) / 60 - 1;
        const isOver = missing > 0 && begins.has(place + 1);
        const room = between(time, next.time, isOver ? Math.min(missing, ROOM) : missing, 60);
        return [{time, value: close, ...(isOver && UNDRAWN)}, ...room.map((time) => ({time}))];
      });
      line.setData(points);
      // Room for the label of the first hour.
      chart.timeScale().setVisibleLogicalRange({from: -points.length / 20, to: points.length + 1});
      return () => {
        const [up, down] = [colour("up"), colour("down")];
        const clear = (rgb) => rgb.replace("rgb(", "rgba(").replace(")", ", 0.03)");
        line.applyOptions({topLineColor: up, topFillColor1: faint(up), topFillColor2: clear(up),
          bottomLineColor: down, bottomFillColor1: clear(down), bottomFillColor2: faint(down)});
        before.applyOptions({color: colour("muted"), axisLabelColor: colour("muted")});
        traded.setData(volumes(bars));
      };
    }, {timeScale: {timeVisible: true, secondsVisible: false}});
  }

  if (it.flows) {
    const {flows} = it;
    const days = flows.days.map(((sum) => (step) => sum += step)(0));
    chart("flows", (chart) => {
      const lines = ["individual", "foreign", "institution"].map((who) => {
        const line = chart.addSeries(LineSeries, {lineWidth: 2, priceLineVisible: false, lastValueVisible: false, priceFormat: compact});
        let sum = 0;
        const points = days.map((day, place) => ({time: seconds(day), value: sum += flows[who][place] * 1e6}));
        flows.gaps.forEach(([place]) => points[place - 1].color = "transparent");
        line.setData(spread(points, flows.gaps));
        return line;
      });
      const grey = greyed(chart);
      tellGaps("flow-gaps", days.map(seconds), flows.gaps);
      chart.timeScale().fitContent();
      return () => {
        grey(spread(days.map((day) => ({time: seconds(day), value: 0})), flows.gaps));
        lines.forEach((line, place) => line.applyOptions({color: colour("key", `k${place}`)}));
      };
    });
    const newest = days.map((_, place) => place).slice(-10).reverse();
    one('[data-rows="flows"]').replaceChildren(...newest.map((place) => element("tr", [
      cell(day(seconds(days[place])), false),
      ...["individual", "foreign", "institution"].map((who) => cell(signed(flows[who][place] * 1e6))),
      cell(flows.short[place] === null ? "–" : `${flows.short[place].toFixed(2)} %`),
    ])));
  }

  if (it.book) {
    const {book} = it;
    fill("booked_at", book.at);
    const most = Math.max(...book.ask.concat(book.bid).map(([, volume]) => volume), 1);
    const bar = (volume) => {
      const made = element("i", "", {ariaHidden: "true"});
      made.style.width = `${100 * volume / most}%`;
      return [made, whole(volume)];
    };
    const price = (value) => element("span", whole(value), {className: way(value - book.base)});
    const empty = () => cell("", false);
    one('[data-rows="book"]').replaceChildren(
      ...book.ask.toReversed().map(([value, volume]) =>
        element("tr", [cell(bar(volume)), cell(price(value), false), empty()])),
      ...book.bid.map(([value, volume], place) =>
        element("tr", [empty(), cell(price(value), false), cell(bar(volume), false)], {className: place ? "" : "best"})),
      element("tr", [cell(whole(book.total[0])), cell(both("총잔량", "in all"), false), cell(whole(book.total[1]), false)], {className: "sum"}),
    );
  }

  if (it.actions) {
    one('[data-rows="actions"]').replaceChildren(...it.actions.map(([from, kind, ratio, amount]) => {
      const word = one(`template[data-word="${CSS.escape(kind)}"]`);
      return element("tr", [cell(from, false), cell(word ? word.content.cloneNode(true) : kind, false),
        cell(ratio === null ? "" : String(ratio)), cell(amount === null ? "" : whole(amount))]);
    }));
  }
};

(() => {
  const code = decodeURIComponent(location.search.slice(1));
  const unknown = () => { document.querySelector("[data-unknown]").hidden = false; };
  if (!/^[0-9A-Z]{6,9}$/.test(code)) return unknown();
  const show = site.stock;
  site.stock = (it) => {
    document.querySelector("[data-stock]").hidden = false;
    show(it);
  };
  document.head.append(site.element("script", "", {src: `stocks/${code}.js`, onerror: unknown}));
})();
