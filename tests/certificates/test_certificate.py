from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pyg_hiersmooth.certificates import Certificate, certify_votes, vote_bounds
from pyg_hiersmooth.noise import (
    AblationNoise,
    GaussianNoise,
    LaplaceNoise,
    SparseFlipNoise,
    UniformNoise,
)
from pyg_hiersmooth.selection import BernoulliSelection, FixedSizeSelection

NOISES: list[Any] = [
    GaussianNoise(0.25),
    LaplaceNoise(0.25),
    UniformNoise(0.25),
    SparseFlipNoise(0.05, 0.8),
    AblationNoise(),
    AblationNoise(torch.tensor([0.5, 1.0])),
]
SELECTIONS: list[Any] = [
    BernoulliSelection(0.95),
    BernoulliSelection(torch.tensor([0.9, 0.99, 1.0])),
    FixedSizeSelection(2),
]
PREDICTION = [0, 2, 1, 1]
LOWER = [0.999, 0.6, 0.5, 0.97]
UPPER = [0.001, 0.3, 0.5, 0.03]
Y = [0, 0, 1, 1]


def smoothing(noise: Any, selection: Any = SELECTIONS[0]) -> Any:
    return SimpleNamespace(selection=selection, noise=noise)


def certificate(noise: Any = NOISES[0], selection: Any = SELECTIONS[0], **more: Any) -> Certificate:
    return Certificate.from_bounds(
        smoothing(noise, selection), PREDICTION, LOWER, UPPER, num_entities=3, **more
    )


def budget_of(noise: Any, value: float) -> dict[str, Any]:
    return dict.fromkeys(noise.budget, value)


def test_attributes() -> None:
    result = certificate(num_features=2, index=[4, 5, 9, 7])
    assert len(result) == 4
    assert result.prediction.tolist() == [0, 2, -1, 1] and result.prediction.dtype == np.int64
    assert result.abstained.tolist() == [False, False, True, False]
    assert result.p_lower.tolist() == LOWER and result.p_upper.tolist() == UPPER
    assert result.index.tolist() == [4, 5, 9, 7] and result.num_features == 2
    assert result.num_entities is not None and result.num_entities.tolist() == [3] * 4
    assert certificate().index.tolist() == [0, 1, 2, 3]
    assert repr(result) == (
        "Certificate(4 objects, kind='multiclass', BernoulliSelection(p=0.95), "
        "GaussianNoise(std=0.25), abstained=1)"
    )


def test_a_negative_prediction_abstains() -> None:
    result = Certificate.from_bounds(smoothing(NOISES[0]), [-1, -7], [0.9, 0.9], [0.1, 0.1])
    assert result.prediction.tolist() == [-1, -1]
    assert not result.is_robust(0, eps=0.0).any()


def test_the_inputs_are_copied() -> None:
    prediction, lower, upper = np.array([0]), np.array([0.9]), np.array([0.1])
    result = Certificate.from_bounds(smoothing(NOISES[0]), prediction, lower, upper)
    lower[:], upper[:], prediction[:] = 0.0, 1.0, 1
    assert (result.prediction, result.p_lower, result.p_upper) == ([0], [0.9], [0.1])


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_nothing_changed_never_alters_a_prediction(noise: Any) -> None:
    result = certificate(noise)
    expected = ~result.abstained
    assert np.array_equal(result.is_robust(0, **budget_of(noise, 1)), expected)
    if noise.budget:
        assert np.array_equal(result.is_robust(3, **budget_of(noise, 0)), expected)
    assert result.certified_ratio(0, **budget_of(noise, 1)) == 0.75


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_abstention_is_never_robust(noise: Any) -> None:
    for r in range(3):
        assert not certificate(noise).is_robust(r, **budget_of(noise, 0))[2]
        assert not certificate(noise).is_robust(r, **budget_of(noise, 1))[2]


def test_radius_where_there_is_none() -> None:
    result = certificate()
    assert np.array_equal(result.radius(0), [np.inf, np.inf, np.nan, np.inf], equal_nan=True)
    radius = result.radius(1)
    assert np.isnan(radius[2]) and radius[0] > radius[3] > 0 and radius.dtype == np.float64
    assert certificate(selection=BernoulliSelection(0.4)).radius(1)[0] == 0.0


def test_scores() -> None:
    result = certificate(AblationNoise())
    assert result.is_robust(1).tolist() == [True, True, False, True]
    assert result.is_robust(2).tolist() == [True, True, False, True]
    assert result.clean_accuracy(Y) == 0.5
    assert result.certified_ratio(1) == 0.75
    assert result.certified_accuracy(Y, 1) == 0.5
    assert result.certified_accuracy(torch.tensor(Y), 1) == 0.5
    assert result.certified_accuracy([1, 1, 1, 1], 1) == 0.25


def test_no_objects() -> None:
    for noise in (SparseFlipNoise(0.05, 0.8), AblationNoise()):
        empty = Certificate.from_bounds(smoothing(noise), [], [], [])
        assert len(empty) == 0 and empty.clean_accuracy([]) == 0.0
        assert empty.certified_accuracy_grid([], 2).shape[0] == 3
        assert not empty.certified_accuracy_grid([], 2).any()
    assert Certificate.from_bounds(smoothing(NOISES[0]), [], [], []).radius(1).shape == (0,)


@pytest.mark.parametrize("noise", [SparseFlipNoise(0.05, 0.8), SparseFlipNoise(0.3, 0.2)], ids=str)
def test_the_accuracy_of_every_cell(noise: Any) -> None:
    generator = np.random.default_rng(0)
    lower = generator.uniform(0.4, 1.0, 60)
    result = Certificate.from_bounds(
        smoothing(noise), generator.integers(0, 2, 60), lower, (1 - lower) * 0.9
    )
    y = generator.integers(0, 2, 60)
    surface = result.certified_accuracy_grid(y, 3, 4, 6)
    assert surface.shape == (4, 5, 7) and surface.dtype == np.float64
    assert surface.max() > surface.min()
    for r, a, d in np.ndindex(surface.shape):
        alone = result.certified_accuracy(y, r, additions=a, deletions=d)
        assert surface[r, a, d] == pytest.approx(alone, abs=1e-12)


def test_the_accuracy_of_every_r_of_ablation() -> None:
    result = certificate(AblationNoise())
    assert result.grid(3).shape == (4, 4)
    expected = [result.certified_accuracy(Y, r) for r in range(4)]
    assert result.certified_accuracy_grid(Y, 3).tolist() == expected


@pytest.mark.parametrize(
    "sizes", [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (1.5, 0, 0), (0, float("inf"), 0)]
)
def test_sizes_of_grids_are_checked_first(sizes: Any) -> None:
    result = certificate(SparseFlipNoise(0.05, 0.8))
    for ask in (result.grid, lambda *sizes: result.certified_accuracy_grid(Y, *sizes)):
        with pytest.raises(ValueError, match="must be an integer of at least 0"):
            ask(*sizes)
    with pytest.raises(ValueError, match="'max_r' must be an integer of at least 0"):
        certificate(AblationNoise()).grid(-1)


def test_wrong_budgets_say_what_is_taken() -> None:
    gaussian, flips, ablation = (certificate(NOISES[i]) for i in (0, 3, 4))
    with pytest.raises(TypeError, match=r"takes 'eps' \(got 'additions'\)"):
        gaussian.is_robust(1, additions=2)
    with pytest.raises(TypeError, match="needs the budget 'eps'"):
        gaussian.is_robust(1)
    with pytest.raises(TypeError, match=r"takes 'additions' and 'deletions' \(got 'eps'\)"):
        flips.is_robust(1, eps=0.1)
    with pytest.raises(TypeError, match="needs the budget 'additions' or 'deletions'"):
        flips.certified_ratio(1)
    with pytest.raises(TypeError, match="no budget besides 'r'"):
        ablation.certified_accuracy(Y, 1, deletions=1)
    with pytest.raises(TypeError, match=r"takes 'additions' and 'deletions' \(got 'norm'\)"):
        flips.is_robust(1, additions=1, norm="l2")
    with pytest.raises(TypeError, match="'radius' needs continuous noise"):
        flips.radius(1)
    for ask in (gaussian.grid, ablation.grid):
        with pytest.raises(TypeError, match="needs SparseFlipNoise"):
            ask(1, 1, 1)
    with pytest.raises(TypeError, match="needs SparseFlipNoise"):
        gaussian.certified_accuracy_grid(Y, 1)


def test_wrong_values() -> None:
    result = certificate()
    for r in (-1, 0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="'r' must be an integer"):
            result.is_robust(r, eps=0.1)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="'r' must be an integer"):
            result.radius(r)  # type: ignore[arg-type]
    for eps in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="'eps' must be"):
            result.is_robust(1, eps=eps)
    for y in ([0, 1, 1], [[0], [0], [1], [1]], [0.5, 0, 1, 1]):
        with pytest.raises(ValueError, match="'y' must"):
            result.clean_accuracy(y)
        with pytest.raises(ValueError, match="'y' must"):
            result.to_frame(y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prediction": [0, 1]}, "'p_lower' must have the shape"),
        ({"prediction": [[0]]}, "'prediction' must have the shape"),
        ({"prediction": [0.5]}, "'prediction' must hold integers"),
        ({"prediction": [float("nan")]}, "'prediction' must hold integers"),
        ({"p_lower": [1.1]}, "'p_lower' must lie in"),
        ({"p_lower": [float("nan")]}, "'p_lower' must lie in"),
        ({"p_upper": [-0.1]}, "'p_upper' must lie in"),
        ({"p_upper": None}, "'p_upper' is needed"),
        ({"kind": "both"}, "'kind' must be one of"),
        ({"index": [1, 2]}, "'index' must have the shape"),
        ({"num_entities": [0]}, "'num_entities' must be at least 1"),
        ({"num_entities": -5}, "'num_entities' must be at least 1"),
        ({"num_entities": 2.5}, "'num_entities' must hold integers"),
        ({"num_features": 0}, "'num_features' must be an integer of at least 1"),
        ({"num_features": -3}, "'num_features' must be an integer of at least 1"),
    ],
)
def test_bounds_are_checked(change: dict[str, Any], message: str) -> None:
    arguments = {"prediction": [0], "p_lower": [0.9], "p_upper": [0.1], **change}
    with pytest.raises(ValueError, match=message):
        Certificate.from_bounds(smoothing(NOISES[0]), **arguments)


def test_the_selection_must_fit_the_objects() -> None:
    fixed = smoothing(NOISES[0], FixedSizeSelection(3))
    with pytest.raises(ValueError, match="num_entities"):
        Certificate.from_bounds(fixed, [0], [0.9], [0.1])
    with pytest.raises(ValueError, match="must not exceed"):
        Certificate.from_bounds(fixed, [0, 0], [0.9] * 2, [0.1] * 2, num_entities=[3, 2])
    own = smoothing(NOISES[0], BernoulliSelection([0.5, 0.6]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="2 entities"):
        Certificate.from_bounds(own, [0], [0.9], [0.1], num_entities=3)


def test_objects_of_different_sizes() -> None:
    fixed = smoothing(AblationNoise(), FixedSizeSelection(4))
    together = Certificate.from_bounds(fixed, [0] * 3, [0.9] * 3, [0.1] * 3, num_entities=[4, 5, 9])
    for i, size in enumerate((4, 5, 9)):
        alone = Certificate.from_bounds(fixed, [0], [0.9], [0.1], num_entities=size)
        for r in range(6):
            assert together.is_robust(r)[i] == alone.is_robust(r)[0]
    assert together.is_robust(9).tolist() == [True, False, False]


def test_certificates_from_votes() -> None:
    pre_votes, votes = [[9, 1, 0], [3, 4, 3]], [[900, 80, 20], [330, 340, 330]]
    for kind in ("multiclass", "binary"):
        for simultaneous in (False, True):
            bound = vote_bounds(pre_votes, votes, 0.05, kind, simultaneous)
            result = certify_votes(
                smoothing(NOISES[0]),
                pre_votes,
                votes,
                0.05,
                kind,
                simultaneous=simultaneous,
                index=[3, 8],
                num_entities=[3, 4],
                num_features=2,
            )
            assert result.kind == kind and result.prediction.tolist() == [0, -1]
            assert np.array_equal(result.p_lower, bound.p_lower)
            assert np.array_equal(result.p_upper, bound.p_upper)
            assert result.index.tolist() == [3, 8] and result.num_features == 2
            assert result.num_entities is not None and result.num_entities.tolist() == [3, 4]
            assert result.simultaneous is simultaneous and not result.exact
    with pytest.raises(ValueError, match="'alpha'"):
        certify_votes(smoothing(NOISES[0]), pre_votes, votes, alpha=1.0)


def test_to_frame() -> None:
    pytest.importorskip("pandas")
    frame = certificate(index=[4, 5, 9, 7]).to_frame()
    assert list(frame) == ["index", "prediction", "abstained", "p_lower", "p_upper"]
    assert frame["index"].tolist() == [4, 5, 9, 7]
    assert frame["prediction"].tolist() == [0, 2, -1, 1]
    labelled = certificate().to_frame(Y)
    assert labelled["y"].tolist() == Y
    assert labelled["correct"].tolist() == [True, False, False, True]


@pytest.mark.parametrize("noise", NOISES, ids=str)
@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
@pytest.mark.parametrize("kind", ["multiclass", "binary"])
def test_save_and_load(noise: Any, selection: Any, kind: str, tmp_path: Path) -> None:
    for sizes in ({"num_entities": 3, "num_features": 2}, {}):
        if isinstance(selection, FixedSizeSelection) and not sizes:
            continue
        upper = UPPER if kind == "multiclass" else None
        before = Certificate.from_bounds(
            smoothing(noise, selection), PREDICTION, LOWER, upper, kind, index=[4, 5, 9, 7], **sizes
        )
        path = tmp_path / "certificate"  # no ending is added
        before.save(path)
        assert os.listdir(tmp_path) == ["certificate"]
        after = Certificate.load(str(path))
        assert repr(after) == repr(before)
        for name in ("kind", "num_features"):
            assert getattr(after, name) == getattr(before, name)
        for name in ("prediction", "p_lower", "p_upper", "index", "num_entities"):
            left, right = getattr(before, name), getattr(after, name)
            assert (left is None and right is None) or (
                np.array_equal(left, right) and left.dtype == right.dtype
            )
        for r in (1, 2):
            budget = budget_of(noise, 1 if "additions" in noise.budget else 0.1)
            assert np.array_equal(before.is_robust(r, **budget), after.is_robust(r, **budget))


def test_simultaneous_bounds_are_kept_and_named(tmp_path: Path) -> None:
    before = certificate(simultaneous=True)
    assert before.simultaneous and repr(before).endswith("abstained=1, simultaneous)")
    before.save(tmp_path / "certificate")
    assert repr(Certificate.load(tmp_path / "certificate")) == repr(before)


def test_files_from_before_there_were_simultaneous_ones(tmp_path: Path) -> None:
    path = tmp_path / "certificate.npz"
    saved(path)
    with np.load(path) as file:
        arrays = dict(file)
    settings = json.loads(str(arrays["settings"]))
    del settings["simultaneous"]
    np.savez(path, **{**arrays, "settings": np.array(json.dumps(settings))})
    loaded = Certificate.load(path)
    assert not loaded.simultaneous and not loaded.exact


def saved(path: Path) -> bytes:
    certificate(SparseFlipNoise(0.05, 0.8), num_features=2).save(path)
    return path.read_bytes()


def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    path = tmp_path / "certificate.npz"
    content = saved(path)
    array, archive, other = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(array, np.arange(3))
    np.savez(archive, prediction=np.arange(3))
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("settings.npy", "text")
    dangerous = io.BytesIO()
    np.savez(dangerous, settings=np.array([{"a": 1}], dtype=object))
    foreign = [b"", b"text", pickle.dumps({"a": 1}), content[: len(content) // 2], content[:-1]]
    for data in [*foreign, *(f.getvalue() for f in (array, archive, other, dangerous))]:
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"certificate\.npz' is not a certificate of pyg_"):
            Certificate.load(path)
    with pytest.raises(FileNotFoundError):
        Certificate.load(tmp_path / "missing.npz")


def test_no_flipped_bit_goes_through(tmp_path: Path) -> None:
    path = tmp_path / "certificate.npz"
    content = saved(path)
    intact = Certificate.load(path)
    generator = np.random.default_rng(0)
    refused = 0
    for position in generator.choice(len(content), 400, replace=False):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        try:
            result = Certificate.load(path)
        except ValueError as error:
            assert "is not a certificate" in str(error)
            refused += 1
        else:  # a date, say
            assert repr(result) == repr(intact)
            assert np.array_equal(result.p_lower, intact.p_lower)
            assert np.array_equal(result.prediction, intact.prediction)
    assert refused > 200


def test_other_contents_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "certificate.npz"
    saved(path)
    with np.load(path) as file:
        arrays = dict(file)
    settings = str(arrays["settings"])
    for change in (
        {"settings": settings.replace("certificate 1", "certificate 2")},
        {"settings": settings.replace("SparseFlipNoise", "SparseNoise")},
        {"settings": settings.replace("multiclass", "anything")},
        {"settings": settings.replace("0.05", "1.05")},
        {"p_lower": arrays["p_lower"] + 0.5},
        {"p_lower": arrays["p_lower"][:-1]},
        {"prediction": arrays["prediction"] + 0.5},
        {"num_entities": -arrays["num_entities"]},
        {"surplus": np.arange(3)},
    ):
        np.savez(path, **{**arrays, **{k: np.array(v) for k, v in change.items()}})
        with pytest.raises(ValueError, match="is not a certificate"):
            Certificate.load(path)


def test_a_folder_that_cannot_be_written_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "certificate.npz"
    content = saved(path)

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(OSError, match="No space left"):
                certificate().save(path)
    assert path.read_bytes() == content and os.listdir(tmp_path) == ["certificate.npz"]
    with pytest.raises(OSError):
        certificate().save(tmp_path / "missing" / "certificate.npz")
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        try:
            with pytest.raises(PermissionError):
                certificate().save(path)
        finally:
            tmp_path.chmod(0o700)
        assert path.read_bytes() == content
