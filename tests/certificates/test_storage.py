from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pyg_hiersmooth.certificates import Certificate, certify_counts, certify_votes
from pyg_hiersmooth.noise import (
    AblationNoise,
    GaussianNoise,
    LaplaceNoise,
    SparseFlipNoise,
    UniformNoise,
)
from pyg_hiersmooth.selection import BernoulliSelection, FixedSizeSelection, PartitionSelection

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


def smoothing(noise: Any, selection: Any = SELECTIONS[0]) -> Any:
    return SimpleNamespace(selection=selection, noise=noise)


def certificate(noise: Any = NOISES[0], selection: Any = SELECTIONS[0], **more: Any) -> Certificate:
    return Certificate.from_bounds(
        smoothing(noise, selection), PREDICTION, LOWER, UPPER, num_entities=3, **more
    )


def budget_of(noise: Any, value: float) -> dict[str, Any]:
    return dict.fromkeys(noise.budget, value)


@pytest.mark.parametrize("noise", NOISES, ids=str)
@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
@pytest.mark.parametrize("kind", ["multiclass", "binary"])
def test_save_and_load(noise: Any, selection: Any, kind: str, tmp_path: Path) -> None:
    for sizes in ({"num_entities": 3, "num_features": 2}, {}):
        if isinstance(selection, FixedSizeSelection) and not sizes:
            continue
        upper = UPPER if kind == "multiclass" else None
        known = {"index": [4, 5, 9, 7], "entities": "pixels", **sizes}
        before = Certificate.from_bounds(
            smoothing(noise, selection), PREDICTION, LOWER, upper, kind, **known
        )
        path = tmp_path / "certificate"  # no ending is added
        before.save(path)
        assert os.listdir(tmp_path) == ["certificate"]
        after = Certificate.load(str(path))
        assert repr(after) == repr(before)
        for name in ("kind", "num_features", "entities"):
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
    assert before.simultaneous and "abstained=1, simultaneous) against: " in repr(before)
    before.save(tmp_path / "certificate")
    assert repr(Certificate.load(tmp_path / "certificate")) == repr(before)


def test_votes_and_what_each_outcome_votes_for_are_kept(tmp_path: Path) -> None:
    before = exact()
    before.save(tmp_path / "certificate")
    after = Certificate.load(tmp_path / "certificate")
    assert after.exact and after.approve == 0.2
    for name in ("votes", "approvals", "mask_predictions", "largest_r", "num_samples"):
        left, right = getattr(before, name), getattr(after, name)
        assert np.array_equal(left, right) and left.dtype == right.dtype
        assert np.array_equal(left[[1]], getattr(after.subset([1]), name))


def exact() -> Certificate:
    masks = np.array([[0, 0, 0, 1, 0, 0], [1, 1, 1, 1, 1, 1]], dtype=np.int16)
    return certify_counts(
        smoothing(AblationNoise(), PartitionSelection(3, 2)),
        [[5, 1], [0, 6]],
        num_entities=4,
        approvals=[[6, 2], [1, 6]],
        approve=0.2,
        mask_predictions=masks,
    )


def contents(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with np.load(path) as file:
        arrays = dict(file)
    return json.loads(str(arrays.pop("settings"))), arrays


def write_before(path: Path, settings: dict[str, Any], arrays: dict[str, Any]) -> None:
    """As version 0.1 wrote it, without a checksum."""
    settings = {**settings, "format": "pyg_hiersmooth certificate 1"}
    np.savez(path, settings=np.array(json.dumps(settings)), **arrays)


@pytest.mark.parametrize("kind", ["bounds", "sampled", "exact"])
def test_files_from_before_there_were_checksums(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "certificate.npz"
    counts = [[90, 10], [40, 60]]
    made = {
        "bounds": certificate(SparseFlipNoise(0.05, 0.8), num_features=2, index=[4, 5, 9, 7]),
        "sampled": certify_votes(smoothing(AblationNoise()), counts, counts, index=[3, 4]),
        "exact": exact(),
    }[kind]
    made.save(path)
    settings, arrays = contents(path)
    for name in ("votes", "approvals", "mask_predictions", "checksum"):
        arrays.pop(name, None)
    settings.pop("approve")
    settings.pop("entities")  # which may have been pixels
    write_before(path, settings, arrays)
    loaded = Certificate.load(path)
    assert loaded.entities == "entities"
    assert repr(loaded) == repr(replace(made, entities="entities"))
    assert loaded.index.tolist() == made.index.tolist()
    needed = {
        "bounds": {"index"},
        "sampled": {"index", "num_samples"},
        "exact": {"index", "num_samples", "largest_r"},
    }[kind]
    for gone in needed:
        write_before(path, settings, {k: v for k, v in arrays.items() if k != gone})
        with pytest.raises(ValueError, match=f"is not a certificate .*: it lacks '{gone}'"):
            Certificate.load(path)
    if kind == "bounds":  # from before there were simultaneous ones
        write_before(path, {k: v for k, v in settings.items() if k != "simultaneous"}, arrays)
        assert not Certificate.load(path).simultaneous


@pytest.mark.parametrize("kind", ["exact", "bounds"])
def test_nothing_may_be_changed_or_gone(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "certificate.npz"
    made = exact() if kind == "exact" else certificate(simultaneous=True, index=[4, 5, 9, 7])
    made.save(path)
    with np.load(path) as file:
        arrays = dict(file)
    for name, array in arrays.items():
        others = [{k: v for k, v in arrays.items() if k != name}]
        if array.dtype.kind in "if":
            others += [{**arrays, name: array[::-1].copy()}] * (not (array == array[::-1]).all())
            others += [{**arrays, name: array.astype(np.float32)}]
        for other in others:
            np.savez(path, **other)
            with pytest.raises(ValueError, match="is not a certificate"):
                Certificate.load(path)
    changed = str(arrays["settings"]).replace('"simultaneous": true', '"simultaneous": false')
    np.savez(path, **{**arrays, "settings": np.array(changed)})
    with pytest.raises(ValueError, match="checksum does not match its content"):
        Certificate.load(path)


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
    loose, arrays = contents(path)
    arrays.pop("checksum")
    settings = json.dumps({**loose, "format": "pyg_hiersmooth certificate 1"})
    np.savez(path, **arrays, settings=np.array(settings))
    assert len(Certificate.load(path)) == 4  # without a checksum, the checks of bounds are left
    for change in (
        {"settings": settings.replace("certificate 1", "certificate 3")},
        {"settings": settings.replace("SparseFlipNoise", "SparseNoise")},
        {"settings": settings.replace("multiclass", "anything")},
        {"settings": settings.replace("0.05", "1.05")},
        {"p_lower": arrays["p_lower"] + 0.5},
        {"p_lower": arrays["p_lower"][:-1]},
        {"prediction": arrays["prediction"] + 0.5},
        {"num_entities": -arrays["num_entities"]},
        {"surplus": np.arange(3)},
    ):
        np.savez(
            path,
            **{
                "settings": np.array(settings),
                **arrays,
                **{k: np.array(v) for k, v in change.items()},
            },
        )
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
