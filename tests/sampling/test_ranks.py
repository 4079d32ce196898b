from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist

from pyg_hiersmooth.sampling import Ranks, current_ranks, process_group
from pyg_hiersmooth.sampling.ranks import (
    collective,
    num_local_ranks,
    num_ranks,
    refuse_ranks,
    was_restarted,
)

OnRanks = Callable[..., list[Any]]


def said(outcomes: list[Any]) -> list[tuple[str, str]]:
    """What the errors of all ranks are and say."""
    return [(type(error).__name__, str(error)) for error in outcomes]


# One process


def test_a_process_alone() -> None:
    ranks = current_ranks()
    assert (ranks.rank, ranks.size, ranks.is_first) == (0, 1, True)
    assert ranks.gather(lambda: 3) == [3]
    assert ranks.from_rank_zero(lambda: 3) == ranks.rank_zero_first(lambda: 3) == 3
    assert torch.equal(ranks.sum(torch.tensor([1, 2])), torch.tensor([1, 2]))
    ranks.compare({"seed": 1})
    with pytest.raises(KeyError, match="broken"), ranks.collective():
        raise KeyError("broken")


def test_without_torchrun_there_is_no_group_to_start() -> None:
    with process_group() as ranks:
        assert ranks.size == 1 and not dist.is_initialized()


# What ranks tell each other


def test_ranks_see_what_each_computes(on_ranks: OnRanks) -> None:
    def work(rank: int) -> Any:
        ranks = current_ranks()
        once = ranks.from_rank_zero(lambda: f"of {rank}")
        total = ranks.sum(torch.tensor([[1, 10 * rank]]))
        return repr(ranks), ranks.is_first, ranks.gather(lambda: rank**2), once, total.tolist()

    outcomes = on_ranks(work, 3)
    assert outcomes == [
        (f"Ranks(rank={rank}, size=3)", rank == 0, [0, 1, 4], "of 0", [[3, 30]])
        for rank in range(3)
    ]


def test_a_sum_leaves_what_is_added_as_it_is(on_ranks: OnRanks) -> None:
    def work(rank: int) -> Any:
        own = torch.tensor([rank])
        current_ranks().sum(own)
        return own.item()

    assert on_ranks(work) == [0, 1]


def test_the_first_goes_ahead_and_then_one_on_each_machine(on_ranks: OnRanks) -> None:
    def work(rank: int) -> Any:
        os.environ["LOCAL_RANK"] = str(rank % 2)

        def compute() -> tuple[float, float]:
            start = time.monotonic()
            time.sleep(0.05)
            return start, time.monotonic()

        return current_ranks().rank_zero_first(compute)

    first, second, third, fourth = on_ranks(work, 4)  # on two machines
    assert first[1] <= third[0] and third[1] <= min(second[0], fourth[0])


def test_weights_become_those_of_the_first(on_ranks: OnRanks) -> None:
    def work(rank: int) -> Any:
        torch.manual_seed(rank)
        model = torch.nn.Sequential(
            torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1).half()
        )
        model.register_buffer("mask", torch.tensor([rank == 0, True]))
        model.register_buffer("nothing", torch.empty(0))
        model[1].num_batches_tracked += 5 - rank
        current_ranks().share_weights(model)
        return {name: (each.dtype, each.tolist()) for name, each in model.state_dict().items()}

    first, second = on_ranks(work)
    assert first == second
    assert first["mask"] == (torch.bool, [True, True])
    assert first["1.num_batches_tracked"] == (torch.int64, 5)


def test_weights_of_another_model_are_refused(on_ranks: OnRanks) -> None:
    def work(rank: int) -> Any:
        current_ranks().share_weights(torch.nn.Linear(3, 2 + rank))

    for name, message in said(on_ranks(work)):
        assert name == "ValueError"
        assert "'weight' (got torch.float32 [2, 3] on rank 0, torch.float32 [3, 3] on" in message


@pytest.mark.parametrize(
    ("own", "name"),
    [
        (lambda rank: {"seed": 1, "alpha": 0.01 * (1 + rank)}, "alpha"),
        (lambda rank: {"seed": 1} | ({"n": 5} if rank == 2 else {}), "n"),
        (lambda rank: {"logits": [1.0, 2.0 + 0.01 * (rank == 1)]}, "logits"),
    ],
)
def test_settings_that_differ_are_named_on_all_ranks(
    own: Callable[[int], dict[str, Any]], name: str, on_ranks: OnRanks
) -> None:
    outcomes = said(on_ranks(lambda rank: current_ranks().compare(own(rank)), 3))
    assert outcomes[0][0] == "ValueError"
    assert f"all ranks must have the same '{name}' (got" in outcomes[0][1]
    assert outcomes == [outcomes[0]] * 3


def test_rounding_is_no_difference(on_ranks: OnRanks) -> None:
    assert on_ranks(lambda rank: current_ranks().compare({"logits": [1.0, 1e-9 * rank]})) == [
        None,
        None,
    ]


# What goes wrong


class Unsendable(Exception):
    def __init__(self, what: str) -> None:
        super().__init__(f"{what} cannot be pickled")
        self.held = lambda: what


class Unreadable(Exception):
    def __init__(self, what: str, more: str) -> None:
        super().__init__(f"{what} cannot be read, {more}")


@pytest.mark.parametrize(
    ("error", "elsewhere"),
    [
        (KeyError("gone"), ("KeyError", "'gone'")),
        (FileNotFoundError(2, "No such file", "a"), None),
        (Unsendable("this"), ("RuntimeError", "this cannot be pickled")),
        (Unreadable("this", "ever"), ("RuntimeError", "this cannot be read, ever")),
    ],
)
@pytest.mark.parametrize("failing", [0, 1])
def test_what_one_rank_raises_all_raise(
    error: Exception, elsewhere: tuple[str, str] | None, failing: int, on_ranks: OnRanks
) -> None:
    def work(rank: int) -> Any:
        ranks = current_ranks()
        try:
            with collective(), ranks.collective():
                if rank == failing:
                    raise error
                ranks.gather(lambda: "others wait here")
        except Exception as raised:
            return type(raised).__name__, str(raised)

    own = type(error).__name__, str(error)
    outcomes = on_ranks(work)
    assert outcomes[failing] == own
    assert outcomes[1 - failing] == (elsewhere or own)


@pytest.mark.parametrize("place", ["gather", "from_rank_zero", "rank_zero_first", "end"])
def test_an_error_is_met_wherever_the_others_are(place: str, on_ranks: OnRanks) -> None:
    def fail() -> None:
        raise OSError("the disk is full")

    def work(rank: int) -> Any:
        ranks = current_ranks()
        with ranks.collective():
            if place != "end":
                getattr(ranks, place)(fail if rank == 0 else lambda: None)
            elif rank == 0:
                fail()

    assert said(on_ranks(work)) == [("OSError", "the disk is full")] * 2


def test_of_several_errors_all_raise_the_first_rank_s(on_ranks: OnRanks) -> None:
    def work(rank: int) -> Any:
        with current_ranks().collective():
            if rank > 0:
                raise ValueError(f"rank {rank}")

    assert said(on_ranks(work, 3)) == [("ValueError", "rank 1")] * 3


def test_an_error_on_the_way_out_hangs_nobody(on_ranks: OnRanks) -> None:
    def work(rank: int) -> Any:
        ranks = current_ranks()
        with ranks.collective():
            try:
                with ranks.collective():
                    if rank == 1:
                        raise ValueError("the model broke")
            finally:
                if rank == 0:
                    raise OSError("the disk is full")

    expected = [("OSError", "the disk is full"), ("ValueError", "the model broke")]
    assert said(on_ranks(work)) == expected


def test_ranks_go_on_after_an_error_that_they_caught(on_ranks: OnRanks) -> None:
    def work(rank: int) -> Any:
        ranks = current_ranks()
        for failing in (1, 0):
            with (
                pytest.raises(ValueError, match=f"rank {failing}"),
                collective(),
                ranks.collective(),
            ):
                if rank == failing:
                    raise ValueError(f"rank {rank}")
        return ranks.gather(lambda: rank)

    assert on_ranks(work) == [[0, 1], [0, 1]]


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("wait", ["gather", "sum"])
def test_a_rank_that_ended_is_noticed_at_once(lost: int, wait: str, on_ranks: OnRanks) -> None:
    def work(rank: int) -> Any:
        ranks = current_ranks()
        with ranks.collective():
            if rank == lost:
                os._exit(1)
            return ranks.gather(int) if wait == "gather" else ranks.sum(torch.tensor([1]))

    outcomes = on_ranks(work, seconds=20.0)
    assert outcomes[lost] is None
    assert said(outcomes)[1 - lost] == (
        "RuntimeError",
        "another rank has ended, or cannot be reached",
    )


# The environment of torchrun


def free_port() -> int:
    with socket.socket() as each:
        each.bind(("localhost", 0))
        return int(each.getsockname()[1])


def test_a_group_starts_and_ends_with_the_block(on_ranks: OnRanks) -> None:
    port = free_port()

    def work(rank: int) -> Any:
        dist.barrier()  # both have met
        dist.destroy_process_group()  # that of the tests
        os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "localhost"}
        os.environ["MASTER_PORT"] = str(port)
        with process_group() as ranks:
            gathered = ranks.gather(lambda: rank)
            with process_group() as inner:
                assert inner is ranks and current_ranks() is ranks
            assert dist.is_initialized() and num_ranks() == 2
        return gathered, dist.is_initialized()

    assert on_ranks(work) == [([0, 1], False)] * 2


def test_a_group_that_is_asked_for_but_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r"'WORLD_SIZE' asks .* \(got 2\), but none is started"):
        current_ranks()
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match="but MASTER_ADDR is not set"), process_group():
        pass


@pytest.mark.parametrize("text", ["two", "-1", ""])
def test_a_number_of_ranks_that_is_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", text)
    with pytest.raises(ValueError, match=rf"'WORLD_SIZE' must be a whole number \(got '{text}'\)"):
        num_ranks()


def test_what_torchrun_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (num_ranks(), num_local_ranks(), was_restarted()) == (1, 1, False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert (num_local_ranks(), was_restarted()) == (4, False)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert was_restarted()


def test_what_is_not_made_for_ranks_refuses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_ranks("tuning")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match=r"tuning runs in one process.*\(got 3 ranks\)"):
        refuse_ranks("tuning")


def test_a_group_of_one_is_a_process_alone(on_ranks: OnRanks) -> None:
    assert on_ranks(lambda rank: vars(current_ranks()) == vars(Ranks()), 1) == [True]
