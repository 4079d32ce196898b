r"""How a report looks: on light and dark pages, on desks and telephones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bokeh.model import Model
from bokeh.models import BasicTicker, CustomJS, HoverTool, NumeralTickFormatter
from bokeh.palettes import Viridis256
from bokeh.plotting import figure

from pyg_hiersmooth.plotting import COLORS

TEXT, FAINT, DOTS = "#4a4f55", "#c9cdd2", "#b4b9bf"
STRONG = "#111417"
LEVELS = ("#9ecae1", "#4292c6", "#08519c")
DARK_LEVELS = ("#25547c", "#3f8fce", "#a5d6ff")
r"""One, two and three changed nodes."""

PALETTE = tuple(Viridis256[:215])
r"""From little to much, without the yellow that a white page swallows."""

DARK: dict[Any, Any] = dict(
    zip(
        (*COLORS, TEXT, FAINT, DOTS, STRONG, *LEVELS, LEVELS, PALETTE),
        (
            *("#5fb3f0", "#ff9a57", "#3fd0a0", "#eba3cd", "#ffcb52", "#a6dcff", "#aab1b8"),
            *("#f2f4f6", "#aeb5bd", "#3d444c", "#4d555e", "#ffffff"),
            *DARK_LEVELS,
            DARK_LEVELS,
            tuple(Viridis256[60:]),
        ),
        strict=True,
    )
)
r"""What stands on a dark page for each color of a light one."""

STYLE = """
:root { --page: #ffffff; --card: #f5f7f9; --text: #1c2024; --muted: #5d656e; --line: #dde1e6;
  --accent: #0b62a8; --chosen: #d6e8f8; }
@media (prefers-color-scheme: dark) { :root { --page: #14181c; --card: #1e242a; --text: #e2e6ea;
  --muted: #9aa3ac; --line: #343b43; --accent: #74bdf7; --chosen: #264663; } }
:root { color-scheme: light dark; }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif;
  margin: 0 auto; max-width: 1180px; padding: 20px 24px 48px; overflow-wrap: anywhere; }
h1 { font-size: 28px; line-height: 1.2; margin: 8px 0 4px; }
h2 { font-size: 19px; margin: 36px 0 8px; }
p { margin: 6px 0; max-width: 90ch; }
.muted { color: var(--muted); font-size: 14px; max-width: none; }
.cards { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(215px, 1fr));
  margin: 18px 0 12px; }
.card { background: var(--card); border-radius: 10px; padding: 14px 16px; }
.card b { display: block; font-size: 34px; font-weight: 650; line-height: 1.15; }
.card .muted { display: block; line-height: 1.4; margin-top: 4px; }
.wide { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { border-bottom: 1px solid var(--line); padding: 5px 18px 5px 0; text-align: left;
  vertical-align: top; }
th { font-weight: 600; }
thead th { color: var(--muted); font-size: 13px; }
td.number, th.number { padding: 5px 0 5px 22px; text-align: right; white-space: nowrap; }
td.best { font-weight: 700; }
.runs tbody th { background: var(--page); left: 0; min-width: 230px; position: sticky; }
.runs thead th.number { white-space: normal; }
.runs thead th.span { text-align: left; padding-left: 22px; }
td small, th small { color: var(--muted); display: block; font-weight: 400; }
.charts { align-items: start; display: grid; gap: 8px 28px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); }
figure { margin: 10px 0 0; min-width: 0; }
figcaption { margin-bottom: 4px; }
figcaption span { color: var(--muted); font-size: 14px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 6px 0; }
.legend button, .legend span { align-items: center; background: none; border: 0;
  color: var(--text); display: inline-flex; font: 14px/1.4 system-ui, sans-serif; gap: 7px;
  padding: 2px 0; text-align: left; }
.legend button { cursor: pointer; }
.legend button[aria-pressed=false] { opacity: 0.4; }
.swatch { flex: none; stroke: var(--light); }
@media (prefers-color-scheme: dark) { .swatch { stroke: var(--dark); } }
.tabs { border-bottom: 1px solid var(--line); display: flex; flex-wrap: wrap; gap: 2px;
  margin-bottom: 16px; }
.tabs button { background: none; border: 0; border-bottom: 3px solid transparent;
  color: var(--muted); cursor: pointer; font: 15px/1.4 system-ui, sans-serif; padding: 8px 12px; }
.tabs button[aria-selected=true] { border-color: var(--accent); color: var(--text); }
a { color: var(--accent); }
.beside { display: grid; gap: 8px 28px; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); }
.alone { display: grid; gap: 8px 28px; grid-template-columns: repeat(auto-fit,
  minmax(min(100%, 340px), 1fr)); }
.chosen h3 { margin: 10px 0 2px; font-size: 16px; }
.chosen td, .chosen th { font-size: 14px; padding: 3px 14px 3px 0; }
.chosen th { white-space: nowrap; }
details { margin-top: 32px; }
summary { cursor: pointer; font-weight: 600; }
@media (max-width: 760px) { body { padding: 12px 14px 32px; } h1 { font-size: 24px; }
  .beside { grid-template-columns: minmax(0, 1fr); } .cards { grid-template-columns: 1fr 1fr; }
  .card { padding: 10px 12px; } .card b { font-size: 26px; } .card.words { grid-column: 1 / -1; }
  .runs tbody th { min-width: 150px; position: static; }
  table { font-size: 14px; } th, td { padding-right: 8px; }
  td.number, th.number { padding-left: 9px; } }
"""

SCRIPT = """
document.addEventListener("click", event => {
  const opened = event.target.closest("[data-opens]");
  if (opened) {
    event.preventDefault();
    for (const page of document.querySelectorAll(".page"))
      page.hidden = page.id !== opened.dataset.opens;
    for (const tab of document.querySelectorAll(".tabs [data-opens]"))
      tab.setAttribute("aria-selected", tab.dataset.opens === opened.dataset.opens);
    scrollTo(0, 0);
  }
  const shown = event.target.closest("[data-shows]");
  if (shown) {
    const on = shown.getAttribute("aria-pressed") === "false";
    shown.setAttribute("aria-pressed", on);
    for (const name of shown.dataset.shows.split(" "))
      for (const whole of [name, name + "-dots"])
        for (const each of Bokeh.documents.map(d => d.get_model_by_name(whole)))
          if (each) each.visible = on;
  }
});
"""

ROWS = """
    .slick-row, .slick-cell, .bk-data-table, .slick-viewport, .slick-header {
      background: var(--page) !important; color: var(--text) !important; }
    .slick-cell { border-color: var(--line) !important; }
    .slick-row.odd .slick-cell { background: var(--card) !important; }
    .slick-cell.selected { background: var(--chosen) !important; }
    .slick-header-column { background: var(--card) !important; color: var(--muted) !important;
      border-color: var(--line) !important; font-weight: 600; }
"""
FIELD = """
    :host { color: var(--text); font-size: 14px; }
    label { white-space: normal; overflow-wrap: anywhere; }
    input { background: var(--card) !important; border: 1px solid var(--line) !important;
      color: inherit !important; }
"""

PAINT = """
const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => {
  for (const [model, name, light, night] of painted) model[name] = dark.matches ? night : light;
};
dark.addEventListener("change", paint);
paint();
"""


def painting(models: Iterable[Model]) -> CustomJS:
    r"""What gives all that is drawn the colors of the reader's page, now and when these change."""
    painted = []
    for model in models:
        for name, value in model.properties_with_values(include_defaults=False).items():
            color = getattr(value, "value", value)
            color = tuple(color) if isinstance(color, list) and name == "palette" else color
            if isinstance(color, str | tuple) and color in DARK:
                night = DARK[color]
                painted.append([model, name, *map(_plain, (color, night))])
    return CustomJS(args={"painted": painted}, code=PAINT)


def _plain(color: str | tuple[str, ...]) -> str | list[str]:
    return color if isinstance(color, str) else list(color)


def new_figure(height: int | None, **options: Any) -> figure:
    r"""A figure as wide as there is place, that lets the page shine through and fingers scroll."""
    tools = "box_zoom,reset,save"
    options = {"tools": tools, "active_drag": None, "sizing_mode": "stretch_width", **options}
    plot = figure(height=height, **options)
    plot.background_fill_color = plot.border_fill_color = None
    plot.outline_line_color = None
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    for axis in plot.axis:
        axis.axis_label_text_color = axis.major_label_text_color = TEXT
        axis.axis_line_color = axis.major_tick_line_color = FAINT
        axis.minor_tick_line_color = None
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = "13px"
        axis.major_label_text_font_size = "12px"
    plot.grid.grid_line_color = FAINT
    plot.grid.grid_line_alpha = 0.5
    return plot


def accuracy_figure(label: str, whole: bool, tooltip: str) -> figure:
    r"""A figure of certified accuracy over a budget."""
    plot = new_figure(300, x_axis_label=label, y_axis_label="certified accuracy", y_range=(0, 1.02))
    plot.yaxis.formatter = NumeralTickFormatter(format="0%")
    plot.add_tools(HoverTool(tooltips=[(tooltip, "@x"), ("certified", "@y{0.0%}")]))
    if whole:
        count_in_ones(plot.xaxis)
    return plot


def count_in_ones(axes: Sequence[Any]) -> None:
    r"""Puts ticks at whole numbers alone."""
    for axis in axes:
        axis.ticker = BasicTicker(min_interval=1, num_minor_ticks=0)
        axis.formatter = NumeralTickFormatter(format="0")
