"""The common parts of all pictures: font, colours, numbers.

matplotlib is imported when a picture is drawn, and without pyplot, which would keep figures in the
process.
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

UP, DOWN, FLAT = "#dd3c46", "#3b78e0", "#8b929c"
"""Red is up and blue is down, as is usual in Korea."""
INK = MUTED = "#757c86"
LINE = "#80808040"
"""Pictures have no paper, and their tones can be read on a light page and on a dark one."""

_PIXELS_AN_INCH = 110  # as wide as the dialog of Dagster's UI, which does not scale pictures
_COLOURS = 64
_SYSTEM_FONTS = ("nanumgothic", "notosanscjk", "notosanskr", "malgun", "applegothic", "applesdgoth")


class Canvas:
    """A figure with a headline, and the PNG it becomes.

    Args:
        headline: the title, in bold; the caller passes it through `legible`.
        facts: the line below it.
        rows: the drawn rows; if their `source` is `mock`, the picture says so.
        height: in inches; the width is the same for all.
    """

    def __init__(self, headline: str, facts: str, rows: pl.DataFrame, height: float = 4.6) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure: Any = Figure(figsize=(8.6, height), dpi=_PIXELS_AN_INCH, facecolor="none")
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
        """A plot at this position, in inches from the lower left corner."""
        whole = self._height
        axes = self.figure.add_axes(
            (left / 8.6, bottom / whole, width / 8.6, height / whole), facecolor="none", **how
        )
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(FLAT)
        axes.tick_params(length=0, labelsize=8, labelcolor=MUTED, labelfontfamily=_family())
        axes.set_axisbelow(True)
        return axes

    def title(self, axes: Any, text: str) -> None:
        """Write the title of a plot above its left corner."""
        axes.set_title(text, loc="left", fontsize=9, color=INK, family=_family(), pad=6)

    def text(self, axes: Any, x: float, y: float, text: str, **how: Any) -> None:
        """Write text in a plot, at data coordinates unless `transform` is given."""
        axes.text(x, y, text, **({"size": 8, "color": MUTED, "family": _family()} | how))

    def bars(self, axes: Any, bars: Iterable[tuple[float, float, float]], colours: Any) -> None:
        """Draw vertical bars, each given as (position, lower end, upper end).

        Positions are 1 apart. All bars are one shape: matplotlib needs a millisecond for each
        separate bar.
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
        """Draw the legend of a plot, without a frame."""
        from matplotlib.font_manager import FontProperties

        words = FontProperties(family=_family(), size=8)
        axes.legend(frameon=False, prop=words, labelcolor=MUTED, **how)

    def png(self) -> bytes:
        """The PNG with a small palette: an eighth of the bytes that matplotlib would write."""
        from PIL import Image

        self._canvas.draw()
        size = self._canvas.get_width_height()
        image = Image.frombuffer("RGBA", size, self._canvas.buffer_rgba())
        target = io.BytesIO()
        few = image.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(target, "PNG", optimize=True)
        return target.getvalue()


def nothing(headline: str, rows: pl.DataFrame, why: str = "no rows") -> bytes:
    """A picture which says that there is nothing to show."""
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
    """A font with Hangul, from a dependency or else the system; without either, any font."""
    import matplotlib

    # The package is located but not imported: its import changes matplotlib's global settings.
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
    """The family name of the font, after it is registered with matplotlib."""
    from matplotlib import font_manager

    font_manager.fontManager.addfont(str(font_file()))
    return font_manager.get_font(str(font_file())).family_name


def _bold() -> Path:
    regular = font_file()
    bold = regular.with_name(f"{regular.stem}Bold{regular.suffix}")
    return bold if bold.exists() else regular


def thousands(value: float, _: object = None) -> str:
    """A number as an axis shows it: 12,345 or 0.5."""
    return f"{value:,.10g}"


def short(value: float) -> str:
    """An amount of KRW, shortened: 1.2 tn, 345 bn, 6.7 m."""
    for unit, size in (("tn", 1e12), ("bn", 1e9), ("m", 1e6)):
        if abs(value) >= size:
            number = value / size
            return f"{number:,.1f} {unit}" if abs(number) < 100 else f"{number:,.0f} {unit}"
    return f"{value:,.0f}"


def spread_out(days: Sequence[date], most: int) -> list[int]:
    """The indices of the days that get a label: evenly spread, with the last day."""
    step = -(-len(days) // most)
    return list(range(len(days) - 1, -1, -step))[::-1]


def colour_of(change: float) -> str:
    """Red for a rise, blue for a fall."""
    return UP if change > 0 else DOWN if change < 0 else FLAT
