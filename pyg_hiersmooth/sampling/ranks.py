r"""Processes that sample together: the ranks of a :mod:`torch.distributed` group."""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from pyg_hiersmooth.sampling.checkpoint import same_setting

T = TypeVar("T")

TIMEOUT = timedelta(days=30)
r"""How long a rank waits for the others; one that ended is noticed at once."""

KNOWN = "_known_to_all_ranks"


class Ranks:
    r"""The ranks of a group, as one of them sees it.

    Votes and messages travel between CPUs, over gloo, wherever the models run. If one rank raises
    an error in :meth:`collective`, :meth:`gather` or :meth:`from_rank_zero`, all ranks raise it, so
    that none waits forever.

    Args:
        rank (int): The number of this rank, in :obj:`range(size)`. (default: :obj:`0`)
        size (int): The number of ranks. (default: :obj:`1`)
        group (ProcessGroup, optional): Connects them, where there are several.

    Attributes:
        is_first (bool): Whether this is the rank that writes files and shows progress.
    """

    def __init__(self, rank: int = 0, size: int = 1, group: Any = None) -> None:
        self.rank, self.size, self._group = rank, size, group
        self.is_first = rank == 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rank={self.rank}, size={self.size})"

    @contextmanager
    def collective(self) -> Iterator[None]:
        r"""A block that all ranks enter; an error of one is raised by all at its end."""
        try:
            yield
        except Exception as error:
            if not is_known(error):
                self._exchange(None, error)
            raise
        self._exchange(None)

    def gather(self, compute: Callable[[], T]) -> list[T]:
        r"""What each rank computes, in their order."""
        try:
            value = compute()
        except Exception as error:
            if not is_known(error):
                self._exchange(None, error)
            raise
        return self._exchange(value)

    def from_rank_zero(self, compute: Callable[[], T]) -> T:
        r"""What the first rank computes, on all ranks; the others compute nothing."""
        found = self.gather(lambda: compute() if self.is_first else None)[0]
        return found  # type: ignore[return-value]  # that of the first

    def rank_zero_first(self, compute: Callable[[], T]) -> T:
        r"""What each rank computes, first on rank 0, then on the first rank of each machine, and
        then on the others: for computations that write files which later ranks read.
        """
        own = 0 if self.is_first else 1 if _local_rank() == 0 else 2
        found: list[T] = []
        for turn in range(3 if self.size > 1 else 1):
            with self.collective():
                if turn == own:
                    found.append(compute())
        return found[0]

    def compare(self, settings: Mapping[str, Any]) -> None:
        r"""Checks that all ranks were given the same.

        Args:
            settings (Mapping): What must not differ; lists of floats may differ by rounding.

        Raises:
            ValueError: If something differs, which is named.
        """
        first, *others = self.gather(lambda: dict(settings))
        for rank, other in enumerate(others, start=1):
            for name in {**first, **other}:
                if not same_setting(first.get(name), other.get(name)):
                    raise ValueError(
                        f"all ranks must have the same '{name}' (got {first.get(name)} on rank 0, "
                        f"{other.get(name)} on rank {rank})"
                    )

    def sum(self, counts: Tensor) -> Tensor:
        r"""The sum of integers of one shape over all ranks, on all ranks.

        Args:
            counts (torch.Tensor): int64, on the CPU.
        """
        if self.size > 1:
            counts = counts.clone()
            with _naming_the_lost():
                dist.all_reduce(counts, group=self._group)
        return counts

    def share_weights(self, model: torch.nn.Module) -> None:
        r"""Copies the weights and all other state of the first rank's model to the models of all
        ranks.

        Args:
            model (torch.nn.Module): A model of the same kind on all ranks.

        Raises:
            ValueError: If the models are of different kinds.
        """
        if self.size == 1:
            return
        state = {
            name: each for name, each in model.state_dict().items() if isinstance(each, Tensor)
        }
        kinds = {name: f"{each.dtype} {list(each.shape)}" for name, each in state.items()}
        self.compare({"model": type(model).__name__, **kinds})
        for each in state.values():
            if each.numel() > 0:
                sent = each.detach().cpu().contiguous().clone()
                with _naming_the_lost():
                    dist.broadcast(sent.flatten().view(torch.uint8), src=0, group=self._group)
                each.copy_(sent)

    def _exchange(self, value: Any, error: Exception | None = None) -> list[Any]:
        r"""The values of all ranks, unless one of them failed: that is raised by all."""
        if self.size == 1:
            return [value]
        sent = value, None if error is None else _Failure.of(error)
        received: list[Any] = [None] * self.size
        with _naming_the_lost():
            dist.all_gather_object(received, sent, group=self._group)
        for rank, (_, failure) in enumerate(received):
            if failure is not None:
                raise _known(error if error and rank == self.rank else failure.error())
        return [each for each, _ in received]


class _Failure(NamedTuple):
    r"""An error that is sent to other ranks, which may not know its class."""

    message: str
    pickled: bytes

    @classmethod
    def of(cls, error: Exception) -> _Failure:
        try:
            return cls(str(error), pickle.dumps(error))
        except Exception:  # what an error holds may be anything
            return cls(str(error), b"")

    def error(self) -> Exception:
        try:
            error = pickle.loads(self.pickled)
            if isinstance(error, Exception):
                return error
        except Exception:  # nor can it always be read
            pass
        return RuntimeError(self.message)


def _known(error: Exception) -> Exception:
    setattr(error, KNOWN, True)
    return error


def is_known(error: BaseException | None) -> bool:
    r"""Whether all ranks raise an error, or the one that it comes from."""
    while error is not None:
        if getattr(error, KNOWN, False):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def _naming_the_lost() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # what gloo raises
        raise _known(RuntimeError("another rank has ended, or cannot be reached")) from error


def current_ranks() -> Ranks:
    r"""The ranks of the default group of :mod:`torch.distributed`; this process alone, where there
    is none.

    With several ranks, all of them must call this function.

    Raises:
        ValueError: If the environment asks for a group that was not started.
    """
    if _is_started():
        return _of_group(dist.group.WORLD)
    if num_ranks() > 1:
        raise ValueError(
            f"'WORLD_SIZE' asks for a group of ranks (got {num_ranks()}), but none is started: "
            "write 'with process_group():' around the code, or unset it"
        )
    return Ranks()


@functools.lru_cache(maxsize=1)
def _of_group(world: Any) -> Ranks:
    size = dist.get_world_size(world)
    if size == 1:
        return Ranks()
    return Ranks(dist.get_rank(world), size, dist.new_group(backend="gloo", timeout=TIMEOUT))


@contextmanager
def collective() -> Iterator[None]:
    r"""A function, or a block, that all ranks go through: :meth:`Ranks.together`."""
    with current_ranks().collective():
        yield


@contextmanager
def process_group() -> Iterator[Ranks]:
    r"""Joins the group of ranks that ``torchrun`` started, for as long as the block lasts.

    Each rank computes on the GPU of its number on its machine, where there are any. Without
    ``torchrun``, and in a group that was started before, there is nothing to start or to end.

    Yields:
        Ranks: The ranks of the group; this process alone, where there is none.

    Raises:
        ValueError: If the environment asks for a group, but does not say which.
    """
    if _is_started() or num_ranks() < 2:
        yield current_ranks()
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ValueError(
            f"'WORLD_SIZE' asks for a group of ranks (got {num_ranks()}), but {missing[0]} is not "
            "set: start with torchrun, which sets all of them"
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(_local_rank() % torch.cuda.device_count())
    store, rank, size = next(rendezvous("env://", timeout=TIMEOUT))
    # What ranks left there before they were started again, such as their addresses, is not read.
    store = PrefixStore(f"restart {_number('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    dist.init_process_group("gloo", timeout=TIMEOUT, store=store, rank=rank, world_size=size)
    try:
        yield current_ranks()
    finally:
        _of_group.cache_clear()
        dist.destroy_process_group()


def num_ranks() -> int:
    r"""The number of ranks of the group that was started, or that the environment asks for.

    Raises:
        ValueError: If the environment asks for no number.
    """
    if _is_started():
        return dist.get_world_size()
    return _number("WORLD_SIZE", 1)


def num_local_ranks() -> int:
    r"""The number of ranks on this machine, as ``torchrun`` says."""
    return _number("LOCAL_WORLD_SIZE", 1)


def was_restarted() -> bool:
    r"""Whether ``torchrun`` has started its ranks again, after one of them had ended."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0) > 0


def refuse_ranks(what: str) -> None:
    r"""Rejects several ranks for what does not support them.

    Raises:
        ValueError: If there are several ranks.
    """
    if num_ranks() > 1:
        raise ValueError(f"{what} runs in one process, without torchrun (got {num_ranks()} ranks)")


def _is_started() -> bool:
    return dist.is_available() and dist.is_initialized()


def _local_rank() -> int:
    return _number("LOCAL_RANK", 0)


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not text.isdecimal():
        raise ValueError(f"'{variable}' must be a whole number (got {text!r})")
    return int(text)
