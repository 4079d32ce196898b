from __future__ import annotations

import builtins
import time

import psutil
import pytest
import torch
from torch import Tensor

from pyg_hiersmooth.sampling import Voter
from pyg_hiersmooth.sampling.cost import Cost, cost_of, in_words, tell


class Slow(Voter):
    num_targets, num_classes, device, block_size = 2, 3, torch.device("cpu"), 4

    def __init__(self) -> None:
        self.asked: list[range] = []

    def predict(self, samples: range) -> Tensor:
        self.asked.append(samples)
        time.sleep(0.02)
        return torch.zeros(len(samples), 2, dtype=torch.long)

    def only(self, positions: Tensor) -> Voter:
        return self


def test_cost_is_that_of_a_block_a_process() -> None:
    voter = Slow()
    cost = cost_of(voter, 400, num_workers=2)
    assert voter.asked == [range(4), range(4)]
    assert cost.num_samples == 400 and cost.num_processes == 2
    assert 1.0 <= cost.seconds < 5.0  # 100 blocks of 0.02 s in two processes, and a slow machine
    assert cost_of(voter, 40, num_workers=0).seconds > cost.seconds / 10 and len(voter.asked) == 2
    voter = Slow()
    assert cost_of(voter, 2, num_workers=0).num_processes == 1
    assert voter.asked[-1] == range(2)


@pytest.mark.parametrize("in_notebook", [False, True])
def test_a_notebook_shows_no_error(
    in_notebook: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
    if not in_notebook:
        monkeypatch.delattr(builtins, "__IPYTHON__")
    tell(Cost(10, 0.1, 2))
    said = capsys.readouterr()
    assert (said.out if in_notebook else said.err).startswith("10 forward passes")
    assert not (said.err if in_notebook else said.out)


def test_memory_is_that_of_the_process() -> None:
    before, resident = cost_of(Slow(), 4, num_workers=0).peak_memory, psutil.Process().memory_info()
    assert before is not None and before > 0.9 * resident.rss
    held = b"x" * (max(before - resident.rss, 0) + 5 * 10**8)  # more than is freed meanwhile
    after = cost_of(Slow(), 4, num_workers=0).peak_memory
    assert after is not None and after > before and held


def test_words() -> None:
    assert str(Cost(11_000, 12.3, 1)) == "11,000 forward passes, about 12 s"
    assert str(Cost(10, 0.1, 2, ("less",))) == "10 forward passes, about a second in 2 processes"
    told = str(Cost(10, 0.1, 2, peak_memory=640_000_000))
    assert told == "10 forward passes, about a second in 2 processes of 0.6 GB each"
    assert str(Cost(10, 12, 1, peak_memory=2**31)) == "10 forward passes, about 12 s and 2.1 GB"
    told = str(Cost(10, 300, 2, ("this", "that")))
    assert told == "10 forward passes, about 5 min in 2 processes; cheaper: this, that"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "a second"), (40, "40 s"), (89, "89 s"), (600, "10 min"), (7_200, "2.0 h")],
)
def test_durations(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
