from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from pyg_hiersmooth.sampling.checkpoint import Counted, VoteCheckpoint, fingerprint, read_votes

VOTES = torch.tensor([[3, 7], [10, 0]])
EMPTY = Counted.none(2, 2)
SETTINGS = {"seed": 1, "model": "GCN"}


def saved(path: Path) -> Path:
    VoteCheckpoint(path, SETTINGS).save(Counted(VOTES, 10))
    return path


def test_round_trip(tmp_path: Path) -> None:
    path = saved(tmp_path / "votes.npz")
    votes, done = VoteCheckpoint(path, SETTINGS).load(EMPTY, 20)
    assert torch.equal(votes, VOTES)
    assert done == 10
    assert read_votes(path)[2]["seed"] == 1


def test_a_new_checkpoint_starts_empty_and_proves_that_it_can_write(tmp_path: Path) -> None:
    path = tmp_path / "votes.npz"
    votes, done = VoteCheckpoint(path, SETTINGS).load(EMPTY, 20)
    assert done == 0
    assert torch.equal(votes, EMPTY.votes)
    assert path.exists()


def test_a_missing_folder_fails_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        VoteCheckpoint(tmp_path / "missing" / "votes.npz", SETTINGS).load(EMPTY, 20)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**SETTINGS, "seed": 2}, "another 'seed': 1 there, 2 here"),
        ({**SETTINGS, "model": "GAT"}, "another 'model': GCN there, GAT here"),
        ({**SETTINGS, "features": "f00"}, "another 'features': None there, f00 here"),
    ],
)
def test_refuses_other_settings_by_name(
    settings: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "votes.npz")
    with pytest.raises(ValueError, match=message):
        VoteCheckpoint(path, settings).load(EMPTY, 20)


def test_refuses_votes_of_another_shape_and_of_more_samples(tmp_path: Path) -> None:
    path = saved(tmp_path / "votes.npz")
    with pytest.raises(ValueError, match=r"votes of shape \[2, 2\], not \[2, 3\]"):
        VoteCheckpoint(path, SETTINGS).load(Counted.none(2, 3), 20)
    with pytest.raises(ValueError, match="holds 10 samples, more than the 5 asked for"):
        VoteCheckpoint(path, SETTINGS).load(EMPTY, 5)


def test_refuses_files_that_are_damaged_or_foreign(tmp_path: Path) -> None:
    whole = saved(tmp_path / "votes.npz").read_bytes()
    damaged = {
        "empty": b"",
        "text": b"not votes",
        "truncated": whole[: len(whole) // 2],
        "pickle": pickle.dumps({"votes": VOTES}),
    }
    for name, content in damaged.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a file of votes"):
            VoteCheckpoint(path, SETTINGS).load(EMPTY, 20)
    np.savez(tmp_path / "foreign.npz", other=np.zeros(3))
    with pytest.raises(ValueError, match="is not a file of votes"):
        read_votes(tmp_path / "foreign.npz")
    np.savez(tmp_path / "objects.npz", settings=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="is not a file of votes"):
        read_votes(tmp_path / "objects.npz")


def test_any_flipped_bit_is_harmless_or_refused_in_one_sentence(tmp_path: Path) -> None:
    path = saved(tmp_path / "votes.npz")
    whole, (expected, done, settings) = path.read_bytes(), read_votes(path)
    refused = 0
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(bytes(flipped))
        try:
            votes, samples, read = read_votes(path)
        except ValueError as error:
            refused += 1
            assert "is not a file of votes" in str(error)
        else:
            assert torch.equal(votes, expected) and samples == done and read == settings
    assert refused > len(whole) / 2


def test_lists_of_floats_may_differ_by_rounding_only(tmp_path: Path) -> None:
    path = tmp_path / "votes.npz"
    VoteCheckpoint(path, {"logits": [1.0, -20.0]}).save(Counted(VOTES, 10))
    VoteCheckpoint(path, {"logits": [1.0001, -20.0]}).load(EMPTY, 20)
    for other in ([1.01, -20.0], [1.0, 20.0], [1.0], 1.0):
        with pytest.raises(ValueError, match="another 'logits'"):
            VoteCheckpoint(path, {"logits": other}).load(EMPTY, 20)


def test_a_check_writes_nothing(tmp_path: Path) -> None:
    assert VoteCheckpoint(tmp_path / "votes.npz", SETTINGS).check(EMPTY, 5) == EMPTY
    assert list(tmp_path.iterdir()) == []


def test_refuses_votes_that_do_not_add_up(tmp_path: Path) -> None:
    path = tmp_path / "votes.npz"
    VoteCheckpoint(path, SETTINGS).save(Counted(VOTES, 11))
    with pytest.raises(ValueError, match="do not add up"):
        read_votes(path)


def test_a_failed_save_leaves_the_last_one_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "votes.npz")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    checkpoint = VoteCheckpoint(path, SETTINGS)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(Counted(2 * VOTES, 20))
    monkeypatch.undo()
    assert read_votes(path)[1] == 10
    assert [file.name for file in tmp_path.iterdir()] == ["votes.npz"]


def test_saves_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "votes.npz"
    checkpoint = VoteCheckpoint(path, SETTINGS)
    checkpoint.save_sometimes(Counted(VOTES, 10))
    assert not path.exists()
    monkeypatch.setattr("pyg_hiersmooth.sampling.checkpoint.SECONDS_BETWEEN_SAVES", -1.0)
    checkpoint.save_sometimes(Counted(VOTES, 10))
    assert path.exists()


def test_fingerprints_tell_values_shapes_and_dtypes_apart() -> None:
    x = torch.arange(6.0)
    others = [x + 1, x.view(2, 3), x.double(), x[:5], torch.zeros(0), x.view(2, 3).to_sparse()]
    digests = {fingerprint(tensor) for tensor in (x, *others)}
    assert len(digests) == len(others) + 1
    assert fingerprint(x) == fingerprint(x.clone())
    assert fingerprint(x, x) != fingerprint(x)
    assert fingerprint(x.bfloat16()) == fingerprint(x.bfloat16())
