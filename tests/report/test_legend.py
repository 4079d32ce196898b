from __future__ import annotations

from pyg_hiersmooth.plotting import COLORS
from pyg_hiersmooth.report.legend import Entry, color_of, legend


def test_labels_are_text_and_name_their_curves() -> None:
    shown = legend([Entry("<b>a</b> & b", COLORS[0], "dashed", curves=("one", "two"))])
    assert "&lt;b&gt;a&lt;/b&gt; &amp; b" in shown and 'data-shows="one two"' in shown
    assert "aria-pressed=true" in shown and 'stroke-dasharray="7 4"' in shown


def test_what_cannot_be_hidden_is_no_button() -> None:
    assert "<button" not in legend([Entry("clean", COLORS[0])])


def test_every_number_has_a_color_for_both_pages() -> None:
    for i in range(2 * len(COLORS)):
        assert "--dark: #" in legend([Entry("a", color_of(i))])
