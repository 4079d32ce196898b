from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from pyg_hiersmooth import cores
from pyg_hiersmooth.cores import no_more_threads_than_cores, num_cores


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    monkeypatch.setattr(cores, "QUOTA", tmp_path / "cpu.max")
    return tmp_path / "cpu.max"


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", 4),
        ("150000 100000", 2),
        ("200000 100000", 2),
        ("50000 100000", 1),
        ("900000 100000", 4),
        ("nonsense", 4),
    ],
)
def test_a_container_may_have_fewer(four_cores: Path, quota: str, expected: int) -> None:
    assert num_cores() == 4
    four_cores.write_text(quota + "\n")
    assert num_cores() == expected


def test_threads_are_put_back(four_cores: Path) -> None:
    four_cores.write_text("200000 100000\n")
    before = torch.get_num_threads()
    try:
        for threads, expected in ((6, 2), (1, 1)):
            torch.set_num_threads(threads)
            with pytest.raises(KeyError), no_more_threads_than_cores():
                assert torch.get_num_threads() == expected
                raise KeyError
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
