from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyg_hiersmooth.certificates import PredictionSets
from pyg_hiersmooth.certificates.composed import EdgeSmoothing
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, Noise
from pyg_hiersmooth.selection import BernoulliSelection
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

from ..counted import FLIPS, N_SAMPLES, ballots, calibrated, exact, sampled


def test_statements() -> None:
    counts, y = ballots(200, 100)
    sets = PredictionSets.calibrate(exact(counts), y)
    start = "With probability at least 0.9, over the random choice of calibration and test objects"
    assert sets.statement() == f"{start}, the right class is in the set, without an attack."
    assert sets.statement(3) == (
        f"{start}, the right class is in the set, under any change of at most 3 nodes."
    )
    assert sets.statement(1).endswith("under any change of at most 1 node.")
    messages = exact(counts, noise=AblationNoise(of="messages"))
    over = PredictionSets.calibrate(messages, y, class_conditional=True)
    assert over.statement(2) == (
        f"{start} of each class, the right class is in the set, or the object itself is taken "
        "over, under any change of at most 2 nodes."
    )
    flips = calibrated(FLIPS).statement(3, deletions=2)
    assert flips.endswith("under any change of at most 2 nodes, by 2 deletions in total.")


def test_statements_name_what_changes_and_how_it_is_measured() -> None:
    counts, y = ballots(200, N_SAMPLES)
    noise, selection = GaussianNoise(0.5), BernoulliSelection(0.9)

    def told(entities: str, noise: Noise = noise, **budget: Any) -> str:
        cal = sampled(counts, selection, noise, N_SAMPLES, num_features=3)
        sets = PredictionSets.calibrate(replace(cal, entities=entities), y)
        return sets.statement(1, **budget).split("set, ")[1]

    assert told("pixels", eps=0.5) == (
        "under any change of at most 1 pixel, by eps = 0.5 in total (l2 distance)."
    )
    assert told("nodes of type 'a'", eps=0.5, norm="linf") == (
        "under any change of at most 1 node of type 'a', by eps = 0.5 in total (linf distance)."
    )
    both = EdgeSmoothing(
        HierarchicalEdgeNoise(0.9, AblationNoise()), HierarchicalNodeFeatureNoise(0.9, noise)
    ).noise
    assert told("nodes", both, eps=0.0, edges=2) == "under any change of at most 2 edges in total."
    assert told("nodes", both, eps=0.5, edges=1) == (
        "under any change of at most 1 node and eps = 0.5, 1 edge in total."
    )


def test_statements_about_edges_and_new_nodes() -> None:
    counts, y = ballots(200, N_SAMPLES)

    def told(smoothing: Any, r: int, **budget: Any) -> str:
        cal = sampled(counts, smoothing.selection, smoothing.noise, N_SAMPLES)
        return PredictionSets.calibrate(cal, y).statement(r, **budget).split("objects, ")[1]

    pairs = HierarchicalEdgeNoise(0.9, AblationNoise())
    messages = HierarchicalNodeFeatureNoise(0.9, AblationNoise(of="messages"))
    assert told(EdgeSmoothing(pairs), 2) == (
        "the right class is in the set, under any change of at most 2 pairs of nodes."
    )
    both = EdgeSmoothing(pairs, messages)
    assert told(both, 1, edges=2) == (
        "the right class is in the set, or the object itself is taken over, under any change of at "
        "most 1 node and 2 edges in total."
    )
    assert told(both, 0, edges=0).endswith("is in the set, without an attack.")
    assert told(both, 0, edges=1).endswith("set, under any change of at most 1 edge in total.")
    assert told(messages, 1, only="new_nodes") == (
        "the right class is in the set, under at most 1 new node with any edges."
    )


def test_shown() -> None:
    counts, y = ballots(200, 100)
    sets = PredictionSets.calibrate(exact(counts), y)
    assert repr(sets).startswith("PredictionSets(coverage=0.9, 200 calibration objects, Partition")
    assert repr(sets).endswith("AblationNoise(), approve=0.1)")
    assert "eta=0.01" in repr(calibrated(FLIPS))
    assert "200 objects" in sets._repr_html_() and "exact" in sets._repr_html_()


def test_frame_says_what_the_methods_say() -> None:
    pytest.importorskip("pandas")
    counts, y = ballots(200, 100)
    sets = PredictionSets.calibrate(exact(counts), y)
    test, labels = ballots(60, 100, 1)
    cert = exact(test, 500)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = sets.to_frame(cert, labels, changed=(0, 1, 9, 10))
    assert frame.r.tolist() == [0, 1, 9, 10]
    assert frame.uninformative.tolist() == [False, False, True, True]
    for r, size, single, covered in frame.iloc[:2, :4].itertuples(index=False):
        assert size == sets.size(cert, int(r)) and single == sets.singletons(cert, int(r))
        assert covered == sets.coverage(cert, labels, int(r))
    assert list(sets.to_frame(cert).columns) == ["r", "size", "singletons", "uninformative"]


def test_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    counts, y = ballots(200, 100)
    sets = PredictionSets.calibrate(exact(counts), y)
    test = exact(ballots(60, 100, 1)[0], 500)
    figure = sets.plot(test, tmp_path / "sets.png", changed=range(4))
    assert (tmp_path / "sets.png").stat().st_size > 1_000
    drawn = figure.axes[0].lines[1]
    assert drawn.get_ydata().tolist() == [sets.size(test, r) for r in range(4)]
