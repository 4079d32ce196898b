from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from pyg_hiersmooth.certificates import Certificate, certify_counts, certify_votes
from pyg_hiersmooth.certificates.views.explanation import html_table
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection


def certificate(noise: Any, p: float = 0.9) -> Certificate:
    smoothing = SimpleNamespace(selection=BernoulliSelection(p), noise=noise)
    votes = np.array([[9_900, 100, 0], [5_000, 4_900, 100], [200, 9_000, 800]])
    return certify_votes(smoothing, votes // 10, votes, index=np.array([7, 3, 40]))


FLIPS, GAUSSIAN = certificate(SparseFlipNoise(0.05, 0.7)), certificate(GaussianNoise(0.5))
ABLATION = certificate(AblationNoise())


@pytest.mark.parametrize("r", [1, 2])
@pytest.mark.parametrize("position", [0, 2])
def test_the_largest_budgets_are_just_robust(r: int, position: int) -> None:
    largest = FLIPS[position].largest_budgets(r)
    for name, strength in largest.items():
        others = {"additions": 0, "deletions": 0}
        assert FLIPS.is_robust(r, **others | {name: strength})[position]
        assert not FLIPS.is_robust(r, **others | {name: strength + 1})[position]
    assert GAUSSIAN[position].largest_budgets(r) == {"eps": GAUSSIAN.radius(r)[position]}
    most = ABLATION[position].largest_r
    assert most is not None and ABLATION.is_robust(most)[position]
    assert not ABLATION.is_robust(most + 1)[position]


def test_the_frontier_is_that_of_the_grid() -> None:
    pairs = FLIPS[0].frontier(1)
    assert pairs[0] == (0, FLIPS[0].largest_budgets(1)["deletions"]) and len(pairs) > 1
    for additions, deletions in pairs:
        assert FLIPS.is_robust(1, additions=additions, deletions=deletions)[0]
        assert not FLIPS.is_robust(1, additions=additions, deletions=deletions + 1)[0]
    beyond = pairs[-1][0] + 1
    assert not FLIPS.is_robust(1, additions=beyond, deletions=0)[0]


def test_words() -> None:
    text = repr(FLIPS.explain(40, sparse.csr_array(np.ones((3, 12), dtype=bool))))
    assert text.startswith("Explanation of 40\n  prediction: class 1\n")
    assert "samples: 10,000" in text and "receptive field: 12 nodes" in text
    assert "withstands, r = 1: " in text and "additions" in text
    assert "abstains" in repr(FLIPS[1]) and "withstands" not in repr(FLIPS[1])
    assert f"against: {FLIPS.threat}" in text
    assert "eps = " in repr(GAUSSIAN[0]) and "any change of" in repr(ABLATION[0])


def test_exact_ones_speak_of_outcomes() -> None:
    smoothing = SimpleNamespace(selection=PartitionSelection(5, 2), noise=AblationNoise())
    exact = certify_counts(smoothing, np.array([[9, 1]]))
    text = repr(exact[0])
    assert "90.0% of all outcomes" in text and "samples" not in text
    assert exact[0].largest_r == int(exact.largest_r[0]) == 1
    one = certify_counts(smoothing, np.array([[9, 1]]), entities="nodes of type 'a'")
    assert "withstands: any change of 1 node of type 'a'" in repr(one[0])


def test_html_is_escaped() -> None:
    html = FLIPS[0]._repr_html_()
    assert html.startswith("<table>") and "class 0" in html
    table = html_table("a < b", [("<script>", "<b>")])
    assert "a &lt; b" in table and "<script>" not in table and "<b>" not in table


def test_the_same_object_by_position_and_by_index() -> None:
    assert repr(FLIPS[-1]) == repr(FLIPS.explain(40)) == repr(FLIPS[2])
    assert FLIPS[1].prediction == -1 and FLIPS[1].index == 3
    with pytest.raises(ValueError, match=r"'index' must be one of the 3 objects .got 5"):
        FLIPS.explain(5)
    with pytest.raises(IndexError, match="position"):
        FLIPS[3]
    assert len(list(FLIPS)) == 3


@pytest.mark.parametrize("certificate", [FLIPS, GAUSSIAN, ABLATION], ids=["a", "b", "c"])
def test_pictures(certificate: Certificate) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert certificate[0].plot(ax) is ax.figure and ax.get_title() == "object 7, class 0"
    assert certificate[0].plot().axes[0].has_data()
    assert certificate[0].plot()._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
