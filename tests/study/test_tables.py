from __future__ import annotations

import re

from rich.console import Console

from pyg_hiersmooth.study.methods import METHODS, Method
from pyg_hiersmooth.study.pareto import ADVERSARIES
from pyg_hiersmooth.study.results import Tally
from pyg_hiersmooth.study.tables import (
    chosen_settings,
    collective_tables,
    front_tables,
    markdown,
    structure_tables,
    tables,
)


def rows_of(text: str) -> list[list[str]]:
    """The cells of the Markdown tables in a text."""
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_mean_and_standard_deviation_over_seeds(make_result) -> None:
    first = Tally(100, 80, 5, [[[80] + [60] * 5 + [40] * 5], [[80] + [20] * 5], []])
    second = Tally(100, 70, 9, [[[70] + [50] * 5 + [40] * 5], [[70] + [20] * 5], []])
    results = [make_result(test=first), make_result(test=second, seed=17)]
    head, *rows = rows_of(markdown(tables(results, "binary")))
    assert head[:4] == ["method", "seeds", "passes", "seconds"]
    assert head[4:9] == ["clean", "abstained", "r", "5 del.", "10 del."]
    # A difference of ten has a standard deviation of 7.1 (over n - 1), one of four 2.8.
    name = "hierarchical flips, p=0.81, p_plus=0.05, p_minus=0.8"
    assert rows[0][:4] == [name, "2", "11,000", "2"]
    assert rows[0][4:9] == ["75.0 ± 7.1", "7.0 ± 2.8", "1", "55.0 ± 7.1", "40.0 ± 0.0"]
    assert rows[1][:9] == [*[""] * 6, "2", "20.0 ± 0.0", "0.0 ± 0.0"]
    assert rows[2][6:9] == ["3", "0.0 ± 0.0", "0.0 ± 0.0"]
    assert rows[3][6] == "5" and len(rows) == 4


def test_one_seed_has_no_deviation(make_result) -> None:
    _, row, *_ = rows_of(markdown(tables([make_result()], "multiclass")))
    assert row[1] == "1" and row[4:6] == ["80.0", "5.0"]


def test_columns_of_additions(make_result) -> None:
    tally = Tally(100, 80, 5, [[[80], [70], [60], [0], [0], [50]]])
    head, row, *_ = rows_of(markdown(tables([make_result(test=tally)], "multiclass")))
    assert (
        dict(zip(head, row, strict=True)).items()
        >= {
            "1 add.": "70.0",
            "2 add.": "60.0",
            "5 add.": "50.0",
            "5 del.": "0.0",
        }.items()
    )


def test_flat_methods_hold_for_any_number_of_nodes(make_result) -> None:
    _, *rows = rows_of(markdown(tables([make_result("flat flips")], "multiclass")))
    assert len(rows) == 1 and rows[0][6] == "any"


def test_exact_methods_have_a_row_for_each_r(make_result) -> None:
    exact = make_result("exact node ablation", test=Tally(100, 80, 5, [70, 60, 50, 40, 30]))
    _, *rows = rows_of(markdown(tables([exact], "multiclass")))
    assert rows[0][0] == "exact node ablation, groups=10, partitions=10"
    assert rows[0][2] == "100"
    assert [row[6:8] for row in rows] == [
        ["1", "70.0"],
        ["2", "60.0"],
        ["3", "50.0"],
        ["5", "30.0"],
    ]


def test_one_attack_on_all_has_a_table_of_its_own(make_result) -> None:
    first = Tally(100, 80, 5, [70, 60], [50, 40, 20])
    second = Tally(100, 70, 5, [70, 60], [60, 40, 20])
    results = [make_result("node ablation", test=first), make_result()]
    results.append(make_result("node ablation", test=second, seed=17))
    head, *rows = rows_of(markdown(collective_tables(results)))
    assert head == ["method", "passes", "seconds", "clean", "r=3", "r=10", "r=20"]
    (row,) = rows
    assert row[1:4] == ["11,000", "2", "75.0 ± 7.1"]
    assert row[4:] == ["55.0 ± 7.1", "40.0 ± 0.0", "20.0 ± 0.0"]
    assert collective_tables([make_result()]) == []


def test_adversaries_who_change_edges_have_tables_of_their_own(make_result) -> None:
    features = make_result("exact node ablation", test=Tally(100, 80, 5, [70, 60]))
    unprotected = make_result("unprotected", test=Tally(100, 82, 0, []))
    messages = make_result("exact message ablation", test=Tally(100, 80, 5, [75, 74, 73]))
    edges = [
        make_result("exact edge ablation", test=Tally(100, 80, 5, list(range(79, 69, -1)))),
        make_result("edge ablation", test=Tally(100, 81, 5, [66])),
    ]
    results = [features, unprotected, messages, *edges]
    first, second = structure_tables(results, "multiclass")
    assert "other nodes taken over" in str(first.title)
    assert "pairs of nodes get other edges" in str(second.title)
    head, row = rows_of(markdown([first]))
    assert head[-6:] == ["r=1", "r=2", "r=3", "r=5", "r=7", "r=10"]
    assert row[0].startswith("exact message ablation") and row[1:3] == ["1", "200"]
    assert row[-6:] == ["75.0", "74.0", "73.0", "0.0", "0.0", "0.0"]
    _, exact, sampled = rows_of(markdown([second]))
    assert exact[-6:] == ["79.0", "78.0", "77.0", "75.0", "73.0", "70.0"]
    assert sampled[2] == "11,000" and sampled[-6:] == ["66.0", *["0.0"] * 5]
    # None of them is compared with those of changed features.
    (table,) = tables(results, "multiclass")
    assert "message" not in markdown([table]) and "edge" not in markdown([table])
    assert structure_tables([features], "multiclass") == []
    assert tables([messages, *edges], "multiclass") == []


def test_nothing_is_certified_without_protection(make_result) -> None:
    result = make_result("unprotected", test=Tally(100, 82, 0, []))
    _, *rows = rows_of(markdown(tables([result], "multiclass")))
    assert rows == [["unprotected", "1", "0", "2", "82.0", "0.0", *[""] * 7]]


def test_distances_of_gaussian_noise(make_result) -> None:
    tally = Tally(100, 80, 5, [list(range(80, 39, -1))])
    result = make_result("hierarchical Gaussian", test=tally)
    head, row, *_ = rows_of(markdown(tables([result], "multiclass")))
    assert head[7:] == ["0.5 std", "1 std", "1.5 std", "2 std"]
    assert row[7:] == ["75.0", "70.0", "65.0", "60.0"]


def test_markdown_names_each_table(make_result) -> None:
    text = markdown(tables([make_result(), make_result(dataset="CiteSeer")], "binary"))
    assert re.findall(r"\*\*(.*)\*\*", text) == ["Cora, gcn, binary", "CiteSeer, gcn, binary"]
    assert "\n\n|" in text and text.endswith("|\n") and not re.search(r" $", text, re.M)


def test_settings_are_chosen_on_validation_nodes(make_result) -> None:
    strong, weak = Tally(100, 80, 0, [70, 60, 50]), Tally(100, 90, 0, [20, 10])
    results = [
        make_result(Method.of("node ablation", "ablation", p=0.7), val=weak, test=strong),
        make_result(Method.of("node ablation", "ablation", p=0.8), val=strong, test=weak),
        make_result("flat flips"),
    ]
    _, *rows = rows_of(markdown(chosen_settings(results, "multiclass")))
    ablation = [row for row in rows if row[1].startswith("node ablation")]
    assert len(ablation) == len(ADVERSARIES) and len(rows) == 2 * len(ADVERSARIES)
    assert ablation[0] == ["r = 1, 5 deletions", "node ablation, p=0.8", "90.0", "20.0"]
    assert ablation[3] == ["r = 3, 5 deletions", "node ablation, p=0.8", "90.0", "0.0"]


def test_the_most_among_settings_of_enough_clean_accuracy(make_result) -> None:
    accurate, robust = Tally(1000, 825, 0, [300]), Tally(1000, 805, 0, [700, 600])
    results = [
        make_result(Method.of("node ablation", "ablation", p=0.7), test=accurate),
        make_result(Method.of("node ablation", "ablation", p=0.8), test=robust),
        make_result("unprotected", test=Tally(1000, 790, 0, [])),
    ]
    (table,) = front_tables(results, "multiclass")
    head, *rows = rows_of(markdown([table]))
    assert head[1:] == [f"clean ≥ {percent}" for percent in (78, 79, 80, 81, 82)]
    assert rows[0] == [
        "r = 1, 5 deletions",
        *["70.0 / 0.0", "70.0 / 0.0", "70.0 / -", "30.0 / -", "30.0 / -"],
    ]
    assert rows[3][2:4] == ["0.0 / 0.0", "0.0 / -"]  # r = 3
    assert rows[5][2:4] == ["60.0 / 0.0", "60.0 / -"]  # two additions reach two nodes


def test_a_narrow_table_fits_a_terminal(make_result) -> None:
    flips = Method.of("a method of a long name", "flips", p=0.81, p_plus=0.05, p_minus=0.8)
    results = [make_result(method=method, seed=1) for method in (flips, METHODS["node ablation"])]
    for narrow, columns in ((False, 13), (True, 7)):
        (table,) = tables(results, "multiclass", narrow=narrow)
        assert len(table.columns) == columns
    console = Console(width=80)
    with console.capture() as capture:
        console.print(table)
    shown = capture.get()
    assert "…" not in shown and max(map(len, shown.splitlines())) <= 80
    for head in ("5 del.", "10 del.", "1 add.", "2 add."):
        assert head in shown
