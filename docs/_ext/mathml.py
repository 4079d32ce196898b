r"""Formulas as MathML, which browsers draw by themselves: no script, no network."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

Visitor = Any  # of sphinx.writers.html5


def visit_inline(visitor: Visitor, node: nodes.math) -> None:
    r"""Writes a formula within a line."""
    visitor.body.append(convert(node.astext()))
    raise nodes.SkipNode


def visit_display(visitor: Visitor, node: nodes.math_block) -> None:
    r"""Writes a formula in a line of its own."""
    number = f'<span class="eqno">({node["number"]})</span>' if node["number"] else ""
    formula = convert(_aligned(node.astext()), display="block")
    visitor.body.append(f'<div class="math">{number}{formula}</div>')
    raise nodes.SkipNode


def _aligned(latex: str) -> str:
    r"""Several lines, as they are written without an environment, in one that has them."""
    has_lines = r"\\" in latex and r"\begin" not in latex
    return rf"\begin{{aligned}}{latex}\end{{aligned}}" if has_lines else latex


def setup(app: Sphinx) -> dict[str, bool]:
    r"""Registers the renderer."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
