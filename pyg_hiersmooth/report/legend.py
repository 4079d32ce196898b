r"""What a curve means, beside the axes: a click hides it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from pyg_hiersmooth.plotting import COLORS
from pyg_hiersmooth.report.look import DARK

DASHES = {"solid": "", "dashed": "7 4", "dotted": "2 3", "dotdash": "7 3 2 3"}


@dataclass(frozen=True)
class Entry:
    r"""A line of a legend.

    Attributes:
        label (str): What it means, as text.
        color (str): One of the colors of a light page.
        dash (str): A key of :obj:`DASHES`.
        width (float): Of the line.
        curves (tuple of str): The names of the renderers that it shows and hides.
    """

    label: str
    color: str
    dash: str = "solid"
    width: float = 2.5
    curves: tuple[str, ...] = ()


def color_of(i: int) -> str:
    r"""The color of the curve of that number."""
    return COLORS[i % len(COLORS)]


def legend(entries: Iterable[Entry]) -> str:
    r"""The legend as HTML."""
    return f"<div class=legend>{''.join(map(_as_html, entries))}</div>"


def _as_html(entry: Entry) -> str:
    look = f"--light: {entry.color}; --dark: {DARK[entry.color]}"
    line = (
        f'<svg class=swatch style="{look}" width=26 height=10 aria-hidden=true><line x1=0 y1=5 '
        f'x2=26 y2=5 stroke-width="{entry.width:g}" stroke-dasharray="{DASHES[entry.dash]}" />'
        "</svg>"
    )
    text = f"{line}{escape(entry.label)}"
    if not entry.curves:
        return f"<span>{text}</span>"
    shows = " ".join(entry.curves)
    return f'<button type=button aria-pressed=true data-shows="{shows}">{text}</button>'
