from __future__ import annotations

import numpy as np
import pytest

from pyg_hiersmooth.study.charts import (
    draw_certified_accuracy,
    draw_changed_at_will,
    draw_pareto_fronts,
)
from pyg_hiersmooth.study.methods import Method
from pyg_hiersmooth.study.pareto import ADVERSARIES
from pyg_hiersmooth.study.results import Tally, groups

pytest.importorskip("matplotlib")


def test_certified_accuracy_is_the_mean_over_seeds(make_result) -> None:
    first = Tally(100, 80, 0, [[[80, 60, 40]], [[80, 20, 10]]])
    second = Tally(100, 70, 0, [[[70, 40, 40]], [[70, 20, 20]]])
    results = [
        make_result(test=first),
        make_result(test=second, seed=17),
        make_result("unprotected"),
    ]
    (group,) = groups(results)
    figure = draw_certified_accuracy(group, "multiclass")
    deletions, additions = figure.axes[:3], figure.axes[3:]
    assert [ax.get_title() for ax in deletions] == ["r = 1", "r = 2", "r = 3"]
    assert [len(ax.lines) for ax in figure.axes] == [1] * 6
    x, y = deletions[0].lines[0].get_data()
    assert x[:4].tolist() == [0, 1, 2, 3] and y[:4] == pytest.approx([0.75, 0.5, 0.4, 0.0])
    y = deletions[1].lines[0].get_ydata()
    assert y[:4] == pytest.approx([0.75, 0.5, 0.15, 0.0])  # one deletion reaches one node
    assert additions[0].lines[0].get_ydata()[:2] == pytest.approx([0.75, 0.0])
    assert deletions[0].get_xlim()[1] == 3.0


def test_ablation_is_drawn_beside_flips(make_result) -> None:
    ablation = make_result("node ablation", test=Tally(100, 80, 0, [70, 60, 50]))
    (group,) = groups([make_result(), ablation])
    third = draw_certified_accuracy(group, "binary").axes[2].lines[1].get_ydata()
    assert third[:5] == pytest.approx([0.8, 0.7, 0.6, 0.5, 0.5])


def test_gaussian_noise_has_one_row(make_result) -> None:
    tally = Tally(100, 80, 0, [list(range(80, 39, -1))])
    (group,) = groups([make_result("hierarchical Gaussian", test=tally)])
    figure = draw_certified_accuracy(group, "multiclass")
    assert len(figure.axes) == 3
    x, y = figure.axes[0].lines[0].get_data()
    assert np.interp([0, 0.1, 2.0], x, y) == pytest.approx([0.8, 0.79, 0.6])


def test_pareto_fronts_of_a_part(make_result) -> None:
    tallies = [Tally(100, 80, 0, [50]), Tally(100, 75, 0, [60]), Tally(100, 74, 0, [55])]
    results = [
        make_result(Method.of("node ablation", "ablation", p=0.7 + 0.1 * i), val=tally)
        for i, tally in enumerate(tallies)
    ]
    figure = draw_pareto_fronts(results, "multiclass", part="val")
    assert [ax.get_title() for ax in figure.axes] == [str(adversary) for adversary in ADVERSARIES]
    points, front = (line.get_xydata().tolist() for line in figure.axes[0].lines)
    assert sorted(points) == [[0.74, 0.55], [0.75, 0.6], [0.8, 0.5]]
    assert front == [[0.8, 0.5], [0.75, 0.6]]
    assert all(ax.get_xlim()[0] < 0.74 for ax in figure.axes)


def test_changed_at_will_node_by_node_and_together(make_result) -> None:
    tally = Tally(100, 80, 5, [70, 60, 20], [90, 30, 0])
    results = [make_result("node ablation", tally, seed=seed) for seed in (1, 2)]
    (group,) = groups([*results, make_result("hierarchical flips")])
    (panel,) = draw_changed_at_will(group).axes
    steps, marks = panel.lines
    assert list(steps.get_ydata())[:5] == [0.8, 0.7, 0.6, 0.2, 0.0]
    assert list(marks.get_xdata()) == [3, 10, 20]
    assert list(marks.get_ydata()) == [0.9, 0.3, 0.0]


def test_legends_fit(make_result) -> None:
    methods = [
        Method.of(f"hierarchical flips number {i}", "flips", p=0.9 + i / 1000, p_plus=0.0005)
        for i in range(8)
    ]
    results = [make_result(method) for method in methods]
    (group,) = groups(results)
    figure = draw_certified_accuracy(group, "multiclass")
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and len(legend.get_texts()) == 8
    assert not any(ax.get_window_extent().overlaps(box) for ax in figure.axes)
