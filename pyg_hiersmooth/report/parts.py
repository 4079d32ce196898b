r"""Pages as HTML and drawings in turn, and the file that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, TypeAlias

from bokeh.document import Document
from bokeh.embed import components
from bokeh.models import CustomJS
from bokeh.models.ui import UIElement
from bokeh.resources import Resources

from pyg_hiersmooth.report.look import SCRIPT, STYLE, painting

Part: TypeAlias = str | UIElement
r"""HTML, in which all that comes from files is escaped, or what Bokeh draws."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
{library}
</head>
<body>
{body}
<script>{script}</script>
{drawings}
</body>
</html>
"""


def as_file(parts: Sequence[Part], title: str, at_once: Sequence[CustomJS] = ()) -> str:
    r"""One HTML file.

    Args:
        parts (sequence of str or UIElement): The page from top to bottom.
        title (str): What the window is called, as text.
        at_once (sequence of CustomJS): What happens when the page is opened.
    """
    drawn = [part for part in parts if not isinstance(part, str)]
    library = drawings = ""
    places: Sequence[str] = ()
    if drawn:
        document = Document()
        with document.models.freeze():  # or each root walks through all models again
            for element in drawn:
                document.add_root(element)
        document.js_on_event("document_ready", painting(document.models), *at_once)
        drawings, places = components(drawn)
        library = Resources(
            "inline", components=["bokeh", "bokeh-widgets", "bokeh-tables"]
        ).render()
    place = iter(places)
    return PAGE.format(
        title=escape(title),
        style=STYLE,
        script=SCRIPT,
        library=library,
        body="\n".join(part if isinstance(part, str) else next(place) for part in parts),
        drawings=drawings,
    )


def facts_table(facts: Mapping[str, Any]) -> str:
    r"""A fact a row, as HTML."""
    rows = "".join(
        f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<div class=wide><table>{rows}</table></div>"
