from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.noise import (
    AblationNoise,
    GaussianNoise,
    LaplaceNoise,
    Noise,
    SparseFlipNoise,
    UniformNoise,
)
from pyg_hiersmooth.plotting import (
    COLORS,
    _in_words,
    new_figure,
    plot_certificates,
    plot_collective,
    plot_set_sizes,
)
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

FLIPS = SparseFlipNoise(0.05, 0.8)
AGAINST = f"against: {FLIPS.threat('nodes')}"
Y = np.arange(60) % 4


def make_certificate(noise: Noise, p: float = 0.81, seed: int = 0) -> Certificate:
    """60 objects of 4 classes, 45 of them predicted right, a few abstentions."""
    rng = np.random.default_rng(seed)
    p_lower = 1 - rng.beta(0.5, 3, len(Y))
    prediction = np.where(np.arange(len(Y)) < 45, Y, (Y + 1) % 4)
    transform = HierarchicalNodeFeatureNoise(p, noise)
    return Certificate.from_bounds(transform, prediction, p_lower, 1 - p_lower)


def step_value(line, x: float) -> float:
    """The value of a step curve drawn with where='post'."""
    at = np.searchsorted(line.get_xdata(), x, side="right") - 1
    return float(line.get_ydata()[at])


def curves(ax) -> list:
    """The lines of certified accuracy, without those of clean accuracy."""
    return [line for line in ax.lines if line.get_drawstyle() == "steps-post"]


def test_flips_show_deletions_and_additions() -> None:
    certificate = make_certificate(FLIPS)
    figure = plot_certificates({"run": (certificate, Y)})
    deletions, additions = figure.axes
    assert deletions.get_xlabel() == "Deletions (no additions)"
    assert additions.get_xlabel() == "Additions (no deletions)"
    for r, line in zip((1, 2, 3), curves(deletions), strict=True):
        for budget in (0, 1, 3, 10):
            exact = certificate.certified_accuracy(Y, r, additions=0, deletions=budget)
            assert step_value(line, budget) == pytest.approx(exact)
    for r, line in zip((1, 2, 3), curves(additions), strict=True):
        for budget in (0, 1, 3):
            exact = certificate.certified_accuracy(Y, r, additions=budget, deletions=0)
            assert step_value(line, budget) == pytest.approx(exact)


def test_flips_reach_zero() -> None:
    for ax in plot_certificates({"run": (make_certificate(FLIPS), Y)}).axes:
        assert curves(ax)[0].get_ydata()[-1] == 0
        assert curves(ax)[0].get_ydata()[-2] > 0
        assert ax.get_xlim()[1] >= curves(ax)[0].get_xdata()[-1]


@pytest.mark.parametrize(
    ("noise", "label"),
    [(GaussianNoise(0.25), "ell_2"), (LaplaceNoise(0.3), "ell_1"), (UniformNoise(0.3), "ell_1")],
)
def test_continuous_noise_is_exact(noise: Noise, label: str) -> None:
    certificate = make_certificate(noise)
    (ax,) = plot_certificates({"run": (certificate, Y)}).axes
    assert label in ax.get_xlabel() and "epsilon" in ax.get_xlabel()
    for r, line in zip((1, 2, 3), curves(ax), strict=True):
        radius = certificate.radius(r)
        right = radius[(certificate.prediction == Y) & (radius > 0)]
        for eps in [1e-9, 0.1, *(right * (1 - 1e-6)), *(right * (1 + 1e-6))]:
            exact = certificate.certified_accuracy(Y, r, eps=eps)
            assert step_value(line, eps) == pytest.approx(exact)


def test_ablation_shows_changed_entities() -> None:
    certificate = make_certificate(AblationNoise())
    (ax,) = plot_certificates({"run": (certificate, Y)}).axes
    (line,) = curves(ax)
    for r in range(5):
        assert step_value(line, r) == pytest.approx(certificate.certified_accuracy(Y, r))
    assert line.get_ydata()[-1] == 0


def test_clean_accuracy_is_marked() -> None:
    certificate = make_certificate(FLIPS)
    (ax, _) = plot_certificates({"run": (certificate, Y)}).axes
    (clean,) = [line for line in ax.lines if line not in curves(ax)]
    assert set(clean.get_ydata()) == {certificate.clean_accuracy(Y)}


def legend_of(figure) -> list[str]:
    """The curves beside the panels, then the runs below them."""
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_legend_and_title_of_one_run() -> None:
    figure = plot_certificates({"Cora, gcn": (make_certificate(FLIPS), Y)})
    assert legend_of(figure) == ["$r = 1$", "$r = 2$", "$r = 3$", "clean accuracy"]
    assert figure.get_suptitle() == f"Cora, gcn\n$p$ = 0.81, $p_+$ = 0.05, $p_-$ = 0.8\n{AGAINST}"


def test_legend_and_title_of_several_runs() -> None:
    runs = {"p=0.81": (make_certificate(FLIPS), Y), "p=0.95": (make_certificate(FLIPS, 0.95), Y)}
    figure = plot_certificates(runs)
    assert legend_of(figure)[3:] == ["clean accuracy", "p=0.81", "p=0.95"]
    assert figure.get_suptitle() == f"Certified accuracy\n{AGAINST}"
    styles = [line.get_linestyle() for line in curves(figure.axes[0])]
    assert len(set(styles[:3])) == 1 and len(set(styles)) == 2


def test_ablation_runs_differ_in_color() -> None:
    runs = {name: (make_certificate(AblationNoise()), Y) for name in "ab"}
    figure = plot_certificates(runs)
    assert legend_of(figure) == ["clean accuracy", "a", "b"]
    assert len({line.get_color() for line in curves(figure.axes[0])}) == 2


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.png", b"\x89PNG"), ("a", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.svg", b"<")],
)
def test_saves_in_the_format_of_the_suffix(name: str, start: bytes, tmp_path: Path) -> None:
    plot_certificates({"run": (make_certificate(AblationNoise()), Y)}, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_certificate_plot(tmp_path: Path) -> None:
    figure = make_certificate(FLIPS).plot(Y, tmp_path / "plot.png")
    assert figure.get_suptitle() == f"$p$ = 0.81, $p_+$ = 0.05, $p_-$ = 0.8\n{AGAINST}"
    assert (tmp_path / "plot.png").exists()


def test_all_abstain() -> None:
    certificate = Certificate.from_bounds(
        HierarchicalNodeFeatureNoise(0.81, FLIPS), Y, np.full(60, 0.3), np.full(60, 0.5)
    )
    for ax in plot_certificates({"run": (certificate, Y)}).axes:
        assert not any(line.get_ydata().any() for line in curves(ax))


def test_mixed_noises() -> None:
    runs = {"a": (make_certificate(FLIPS), Y), "b": (make_certificate(GaussianNoise(1.0)), Y)}
    with pytest.raises(ValueError, match=r"share one kind of budget.*SparseFlip.*Gaussian"):
        plot_certificates(runs)


def test_mixed_norms() -> None:
    runs = {
        "a": (make_certificate(LaplaceNoise(1.0)), Y),
        "b": (make_certificate(GaussianNoise(1.0)), Y),
    }
    with pytest.raises(ValueError, match="share one kind of budget"):
        plot_certificates(runs)


def test_one_norm_is_one_family() -> None:
    runs = {
        "a": (make_certificate(LaplaceNoise(1.0)), Y),
        "b": (make_certificate(UniformNoise(1.0)), Y),
    }
    assert len(curves(plot_certificates(runs).axes[0])) == 6


@pytest.mark.parametrize("number", [0, 9])
def test_number_of_runs(number: int) -> None:
    certificate = make_certificate(AblationNoise())
    with pytest.raises(ValueError, match="'runs' must hold 1 to 8 certificates"):
        plot_certificates({str(i): (certificate, Y) for i in range(number)})


@pytest.mark.parametrize("noise", [FLIPS, GaussianNoise(0.25), AblationNoise()])
def test_labels_that_do_not_fit(noise: Noise) -> None:
    with pytest.raises(ValueError, match=r"'y' must have the shape \[60\]"):
        plot_certificates({"run": (make_certificate(noise), Y[:-1])})


def test_failed_save_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "plot.nonsense"
    path.write_text("old")
    with pytest.raises(ValueError, match="'nonsense' is not supported"):
        plot_certificates({"run": (make_certificate(AblationNoise()), Y)}, path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["plot.nonsense"]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        plot_certificates(
            {"run": (make_certificate(AblationNoise()), Y)}, tmp_path / "no" / "a.png"
        )


def test_missing_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install matplotlib"):
        plot_certificates({"run": (make_certificate(AblationNoise()), Y)})


def test_pyplot_stays_out() -> None:
    program = (
        "import sys; from pyg_hiersmooth.certificates import Certificate;"
        "from pyg_hiersmooth.noise import AblationNoise;"
        "from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise as Smoothing;"
        "Certificate.from_bounds(Smoothing(0.8, AblationNoise()), [0], [0.9], [0.1]).plot([0]);"
        "assert 'matplotlib.figure' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def check_legends(figure) -> None:
    """Every legend lies in the picture, and outside of all panels and the title."""
    figure.draw_without_rendering()
    assert figure.legends
    for legend in figure.legends:
        box = legend.get_window_extent()
        whole = figure.bbox
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1
        assert whole.y0 <= box.y0 and box.y1 <= whole.y1
        assert not any(ax.get_window_extent().overlaps(box) for ax in figure.axes)
        assert not figure._suptitle.get_window_extent().overlaps(box)
    first, *others = figure.legends
    assert not any(
        first.get_window_extent().overlaps(other.get_window_extent()) for other in others
    )


@pytest.mark.parametrize("length", [5, 40, 110])
@pytest.mark.parametrize("number", [1, 2, 8])
def test_legends_fit_and_no_line_crosses_them(number: int, length: int) -> None:
    certificate = make_certificate(FLIPS)
    runs = {f"{i}" + (10 * "p_plus=0.0005, ")[:length]: (certificate, Y) for i in range(number)}
    check_legends(plot_certificates(runs))


@pytest.mark.parametrize("number", [2, 12])
def test_legends_of_collective_certificates_fit(number: int) -> None:
    names = [f"{n} deletions, one attack on each" for n in range(number)]
    curves = {key: np.full(21, 0.5) for key in names}
    check_legends(plot_collective(range(21), curves, 0.5, "a long title " * 8))


def test_a_legend_in_axes_of_someone_else_covers_lines() -> None:
    axes = new_figure(6.0, 3.0).subplots(1, 2)
    figure = plot_certificates({"run": (make_certificate(FLIPS), Y)}, ax=axes)
    assert figure.legends == [] and axes[1].get_legend().get_frame().get_alpha() >= 0.9


def test_between_two_numbers_holds_what_is_certified_for_the_larger() -> None:
    (ax,) = plot_collective([0, 5, 10], {"all": [0.8, 0.6, 0.3]}, 0.8).axes
    (line,) = [line for line in ax.lines if line.get_label() == "all"]
    assert line.get_drawstyle() == "steps-pre" and list(line.get_ydata()) == [0.8, 0.6, 0.3]


def test_curves_of_one_color_differ_in_their_lines() -> None:
    names = [f"{n} deletions, {whom}" for n in (1, 2, 3) for whom in ("all", "each")]
    figure = plot_collective([0, 1], {key: [0.5, 0.4] for key in names}, 0.5, per_color=2)
    lines = [line for line in figure.axes[0].lines if line.get_label() in names]
    assert [line.get_color() for line in lines] == [c for c in COLORS[:3] for _ in range(2)]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 6
    assert len(figure.legends) == 1  # six of them stand beside the axes


def test_sizes_of_sets_hold_for_the_larger_number(tmp_path: Path) -> None:
    sizes = {"plain": [1.5, 2.0, 7.0], "approval": [1.2, 1.3, 2.0]}
    (ax,) = plot_set_sizes([0, 5, 10], sizes, 7, path=tmp_path / "sizes.svg").axes
    whole, *lines = ax.lines
    assert list(whole.get_ydata()) == [7, 7] and ax.get_ylim()[0] == 0.0
    assert {line.get_label(): list(line.get_ydata()) for line in lines} == sizes
    assert {line.get_drawstyle() for line in lines} == {"steps-pre"}
    assert len({line.get_color() for line in lines}) == 2
    assert b"<svg" in (tmp_path / "sizes.svg").read_bytes()
    assert plot_set_sizes([0, 1], {"again": [1.0, 1.0]}, 7, ax=ax) is ax.figure
    assert ax.figure._suptitle.get_text() == "Prediction sets"


@pytest.mark.parametrize("length", [20, 94])
def test_titles_fit_into_the_picture(length: int) -> None:
    figure = plot_collective([0, 1], {"a": [1.0, 1.0]}, 1.0, "m" + "i" * (length - 1))
    figure.draw_without_rendering()
    assert figure._suptitle.get_fontsize() == pytest.approx(10.0 if length < 60 else 8.33)


@pytest.mark.parametrize(
    ("smoothing", "words"),
    [
        ("BernoulliSelection(p=0.9), AblationNoise()", "$p$ = 0.9, ablation"),
        ("FixedSizeSelection(size=3), GaussianNoise(std=0.1)", r"size = 3, $\sigma$ = 0.1"),
        (
            "PartitionSelection(num_groups=5, seed=0, dealing='blocks'), AblationNoise(), exact",
            "5 groups, ablation, exact",
        ),
        ("BernoulliSelection(p=[30 values]), Mine(7)", "$p$ = [30 values], 7"),
        ("Certified accuracy", "Certified accuracy"),
    ],
)
def test_smoothings_in_words(smoothing: str, words: str) -> None:
    assert _in_words(smoothing) == words


def test_nothing_certified_is_said() -> None:
    transform = HierarchicalNodeFeatureNoise(0.5, FLIPS)
    certificate = Certificate.from_bounds(transform, Y, np.full(60, 0.51), np.full(60, 0.49))
    figure = certificate.plot(Y)
    assert "nothing is certified" in {text.get_text() for text in figure.axes[0].texts}
