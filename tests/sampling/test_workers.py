from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pyg_hiersmooth.sampling.workers import Workers, workers_kept, workers_of

CHUNKS = [range(4), range(4, 8), range(8, 11), range(11, 12)]


class Diary:
    """Counts its samples and the audited ones, and notes which process asks."""

    def __init__(self, folder: Path, factor: int = 1) -> None:
        self.folder, self.factor = folder, factor

    def count(self, samples: range, audited: Collection[int] = ()) -> Tensor:
        (self.folder / f"{os.getpid()}").touch()
        if -1 in samples:
            raise ValueError("a negative sample")
        return self.factor * torch.tensor([sum(samples), len(audited)])

    @property
    def processes(self) -> set[int]:
        return {int(each.name) for each in self.folder.iterdir()}


def counted(workers: Workers, audited: Collection[int] = ()) -> list[list[int]]:
    return [each.tolist() for each in workers.count(CHUNKS, audited)]


EXPECTED = [[6, 1], [22, 0], [27, 2], [11, 0]]


def test_chunks_are_counted_in_order_with_their_audits(tmp_path: Path) -> None:
    diary = Diary(tmp_path)
    assert counted(workers_of(diary, 2), {3, 8, 9, 20}) == EXPECTED
    assert len(diary.processes) == 2 and os.getpid() not in diary.processes


def test_workers_stay_within_the_block_alone(tmp_path: Path) -> None:
    diary = Diary(tmp_path)
    with workers_kept():
        for _ in range(3):
            assert counted(workers_of(diary, 2), {3, 8, 9}) == EXPECTED
        assert len(diary.processes) == 2
        alive = diary.processes
    assert not any(map(is_alive, alive))
    assert counted(workers_of(diary, 2), {3, 8, 9}) == EXPECTED
    assert len(diary.processes) == 4
    assert not any(map(is_alive, diary.processes))


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_another_voter_is_never_answered_by_those_of_the_first(tmp_path: Path) -> None:
    one, other = Diary(tmp_path), Diary(tmp_path, factor=2)
    with workers_kept():
        counted(workers_of(one, 2))
        first = one.processes
        assert counted(workers_of(other, 2))[0] == [12, 0]
        assert not any(map(is_alive, first)), "no more processes than asked for"
        assert counted(workers_of(other, 1))[1] == [44, 0]
        assert len(one.processes) == 5
        assert counted(workers_of(one, 1))[0] == [6, 0]


def test_what_was_left_undone_is_not_gone_on_with(tmp_path: Path) -> None:
    diary = Diary(tmp_path)
    with workers_kept():
        next(workers_of(diary, 1).count(CHUNKS, ()))
        assert counted(workers_of(diary, 1)) == [[each[0], 0] for each in EXPECTED]
        with pytest.raises(ValueError, match="a negative sample"):
            list(workers_of(diary, 1).count([range(-1, 2), *CHUNKS], ()))
        assert counted(workers_of(diary, 1)) == [[each[0], 0] for each in EXPECTED]
        assert len(diary.processes) == 3
