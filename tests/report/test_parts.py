from __future__ import annotations

import re

from pyg_hiersmooth.report.look import new_figure
from pyg_hiersmooth.report.parts import as_file, facts_table

NASTY = "</script><script>alert(1)</script>&'\""


def test_drawings_stand_where_they_are_put() -> None:
    plots = [new_figure(100), new_figure(100)]
    page = as_file(["<p>one</p>", plots[0], "<p>two</p>", plots[1], "<p>three</p>"], "title")
    body = page[page.index("<body>") :]
    marks = re.findall(r'<p>\w+</p>|data-root-id="\w+"', body)
    places = [f'data-root-id="{plot.id}"' for plot in plots]
    assert marks == ["<p>one</p>", places[0], "<p>two</p>", places[1], "<p>three</p>"]


def test_a_page_without_drawings_needs_no_library() -> None:
    page = as_file(["<p>one</p>"], "title")
    assert len(page) < 20_000 and "Bokeh.safely" not in page


def test_titles_facts_and_what_is_drawn_are_text() -> None:
    plot = new_figure(100, title=NASTY)
    page = as_file([facts_table({NASTY: NASTY}), plot], NASTY)
    assert "<script>alert" not in page
    assert page.count("&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#x27;&quot;") == 3
