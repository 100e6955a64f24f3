"""What all pictures share: paper, font, colours, numbers. What they show stands in `pictures.py`.

matplotlib is imported when something is drawn, and without pyplot: a picture leaves nothing behind
in the process.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from kis_assets.exchange import venues

UP, DOWN, FLAT = "#d8323c", "#2461c6", "#9aa0a8"
"""Red is up and blue is down, as on every Korean screen."""
INK, MUTED, LINE = "#1d232b", "#69717c", "#e4e7eb"

_PIXELS_AN_INCH = 110  # as wide as the UI's dialog, which does not scale a picture
_COLOURS = 48
_SYSTEM_FONTS = ("nanumgothic", "notosanscjk", "notosanskr", "malgun", "applegothic", "applesdgoth")


class Canvas:
    """A figure with a headline, and the PNG it becomes.

    Args:
        headline: what is shown, in bold; the caller sees to it that it is `legible`.
        facts: the line below it.
        rows: what is drawn, for its column `source`: an invented market is called one.
        height: in inches; the width is the same for all.
    """

    def __init__(self, headline: str, facts: str, rows: pl.DataFrame, height: float = 4.6) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure: Any = Figure(figsize=(8.6, height), dpi=_PIXELS_AN_INCH, facecolor="white")
        self._canvas: Any = FigureCanvasAgg(self.figure)
        self._height = height
        self._write(headline, 0.20, size=13, color=INK, font=_bold())
        self._write(facts, 0.46, size=9, color=MUTED)
        named = rows["source"].drop_nulls().unique() if "source" in rows.columns else ()
        if invented := next(filter(venues.is_invented, named), None):
            self._write(f"invented market ({invented})", 0.20, x=8.4, ha="right", size=9, color=UP)

    def _write(
        self, text: str, down: float, *, x: float = 0.2, font: Path | None = None, **how: Any
    ) -> None:
        at = x / 8.6, 1 - down / self._height
        self.figure.text(*at, text, va="center", font=font or font_file(), **how)

    def axes(self, left: float, bottom: float, width: float, height: float, **how: Any) -> Any:
        """A plot at that place, in inches from the lower left corner."""
        whole = self._height
        axes = self.figure.add_axes(
            (left / 8.6, bottom / whole, width / 8.6, height / whole), **how
        )
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(FLAT)
        axes.tick_params(length=0, labelsize=8, labelcolor=MUTED, labelfontfamily=_family())
        axes.set_axisbelow(True)
        return axes

    def title(self, axes: Any, text: str) -> None:
        """What a plot shows, above its left corner."""
        axes.set_title(text, loc="left", fontsize=9, color=INK, family=_family(), pad=6)

    def text(self, axes: Any, x: float, y: float, text: str, **how: Any) -> None:
        """A word in a plot, at its data coordinates unless `transform` says else."""
        axes.text(x, y, text, **({"size": 8, "color": MUTED, "family": _family()} | how))

    def bars(self, axes: Any, bars: Iterable[tuple[float, float, float]], colours: Any) -> None:
        """Upright bars, each by its place, its lower and its upper end; 1 is between two places.

        As one shape: matplotlib takes a millisecond for each bar that it draws by itself.
        """
        from matplotlib.collections import PolyCollection

        half = 0.34
        corners = [
            [(at - half, low), (at + half, low), (at + half, high), (at - half, high)]
            for at, low, high in bars
        ]
        axes.add_collection(
            PolyCollection(corners, facecolors=colours, edgecolors=colours, linewidths=0.8)
        )
        axes.autoscale_view()

    def legend(self, axes: Any, **how: Any) -> None:
        """The legend of a plot, without a frame."""
        from matplotlib.font_manager import FontProperties

        words = FontProperties(family=_family(), size=8)
        axes.legend(frameon=False, prop=words, labelcolor=MUTED, **how)

    def png(self) -> bytes:
        """The picture, in few colours: an eighth of the bytes that matplotlib would write."""
        from PIL import Image

        self._canvas.draw()
        size = self._canvas.get_width_height()
        image = Image.frombuffer("RGBA", size, self._canvas.buffer_rgba()).convert("RGB")
        target = io.BytesIO()
        few = image.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(target, "PNG", optimize=True)
        return target.getvalue()


def nothing(headline: str, rows: pl.DataFrame, why: str = "no rows") -> bytes:
    """A picture that says there is nothing to show."""
    canvas = Canvas(headline, "", rows, height=1.6)
    axes = canvas.axes(0.2, 0.2, 8.2, 0.9)
    axes.set_axis_off()
    canvas.text(axes, 0.5, 0.5, why, ha="center", va="center", size=12)
    return canvas.png()


def legible(text: str, instead: str) -> str:
    """`text` when the font has a glyph for each of its characters, else `instead`."""
    known = _glyphs(font_file())
    return text if text and all(ord(letter) in known for letter in text) else instead


@cache
def font_file() -> Path:
    """A font with Hangul: the one that a dependency ships, else the system's, else one without."""
    import matplotlib

    # Found and not imported: on import that package changes matplotlib's settings for everybody.
    package = importlib.util.find_spec("koreanize_matplotlib")
    for folder in (package and package.submodule_search_locations) or ():
        shipped = Path(folder, "fonts", "NanumGothic.ttf")
        if shipped.exists():
            return shipped
    from matplotlib import font_manager

    for path in sorted(font_manager.findSystemFonts()):
        plain = Path(path).stem.lower().replace("-", "").replace("_", "")
        if plain.startswith(_SYSTEM_FONTS):
            return Path(path)
    return Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


@cache
def _glyphs(font: Path) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(font)).get_charmap())


@cache
def _family() -> str:
    """The name by which matplotlib knows that font, once it has been told of it."""
    from matplotlib import font_manager

    font_manager.fontManager.addfont(str(font_file()))
    return font_manager.get_font(str(font_file())).family_name


def _bold() -> Path:
    regular = font_file()
    bold = regular.with_name(f"{regular.stem}Bold{regular.suffix}")
    return bold if bold.exists() else regular


def thousands(value: float, _: object = None) -> str:
    """12,345 or 0.5: a number as an axis shows it."""
    return f"{value:,.10g}"


def short(value: float) -> str:
    """An amount of KRW in words people say: 1.2 tn, 345 bn, 6.7 m."""
    for unit, size in (("tn", 1e12), ("bn", 1e9), ("m", 1e6)):
        if abs(value) >= size:
            number = value / size
            return f"{number:,.1f} {unit}" if abs(number) < 100 else f"{number:,.0f} {unit}"
    return f"{value:,.0f}"


def spread_out(days: Sequence[date], most: int) -> list[int]:
    """Which of the days get a label: evenly spread, the last one among them."""
    step = -(-len(days) // most)
    return list(range(len(days) - 1, -1, -step))[::-1]


def colour_of(change: float) -> str:
    """Red for a rise, blue for a fall."""
    return UP if change > 0 else DOWN if change < 0 else FLAT
