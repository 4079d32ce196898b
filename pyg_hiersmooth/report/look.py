r"""How a report looks: on light and dark pages, on desks and telephones."""

from __future__ import annotations

from bokeh.models import Axis, BasicTicker
from bokeh.plotting import figure

GRAY = "#808080"
r"""Read on white as on black."""

TEMPLATE = """\
{% block title %}{{ title }}{% endblock %}
{% block preamble %}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>
  :root { color-scheme: light dark; }
  html, body { background: light-dark(#fff, #14171a); color: light-dark(#1c1c1c, #dcdcdc);
    font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1180px; padding: 8px; }
</style>
{% endblock %}
"""

PROSE = """
    :host { color: light-dark(#1c1c1c, #dcdcdc); font: 15px/1.5 system-ui, sans-serif; }
    table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
    .wide { overflow-x: auto; }
    th, td { padding: 2px 12px 2px 0; text-align: left; vertical-align: top;
      border-bottom: 1px solid light-dark(#ddd, #3a3f44); }
    td.number { text-align: right; }
    h1, h2 { font-weight: 600; margin: 0.6em 0 0.2em; }
    a { color: light-dark(#0060a8, #6cb8ff); }
"""
ROWS = """
    .slick-row, .slick-cell, .bk-data-table, .slick-viewport {
      background: light-dark(#fff, #14171a) !important;
      color: light-dark(#1c1c1c, #dcdcdc) !important; }
    .slick-row.odd .slick-cell { background: light-dark(#f5f5f5, #1d2125) !important; }
    .slick-cell.selected { background: light-dark(#cfe5f7, #234761) !important; }
    .slick-header-column { background: light-dark(#eee, #2a2f34) !important;
      color: light-dark(#1c1c1c, #dcdcdc) !important; }
"""
FIELD = """
    :host { color: light-dark(#1c1c1c, #dcdcdc); }
    input { background: light-dark(#fff, #1d2125) !important; color: inherit !important; }
"""


def count_in_ones(axes: list[Axis]) -> None:
    r"""Puts ticks at whole numbers alone."""
    for axis in axes:
        axis.ticker = BasicTicker(min_interval=1, num_minor_ticks=0)


def quiet(plot: figure) -> figure:
    r"""Lets the page shine through a figure, and writes in gray."""
    plot.background_fill_color = plot.border_fill_color = None
    plot.outline_line_color = None
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    for axis in plot.axis:
        axis.axis_label_text_color = axis.major_label_text_color = GRAY
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = GRAY
    plot.grid.grid_line_color = GRAY
    plot.grid.grid_line_alpha = 0.25
    if plot.title is not None:
        plot.title.text_color = GRAY
    for legend in plot.legend:
        legend.background_fill_alpha = 0.0
        legend.border_line_color = None
        legend.label_text_color = GRAY
    return plot
