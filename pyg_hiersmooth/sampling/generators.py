r"""The global generators of PyTorch, NumPy and Python."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_generators(seed: int, device: torch.device) -> None:
    r"""Seeds the global generators of PyTorch (on one device), NumPy and Python."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def generator_states(device: torch.device) -> tuple[Any, ...]:
    r"""Where the global generators are, to tell whether a call has drawn from them."""
    of_numpy = np.random.get_state(legacy=False)
    state = of_numpy["state"]
    of_torch = [torch.default_generator.get_state()]
    if device.type == "cuda":
        of_torch.append(torch.cuda.get_rng_state(device))
    drawn = [each.numpy().tobytes() for each in of_torch]
    return (*drawn, state["key"].tobytes(), state["pos"], random.getstate())


@contextmanager
def generators_put_back(device: torch.device) -> Iterator[None]:
    r"""Leaves the global generators of PyTorch, NumPy and Python as they were."""
    of_numpy, of_python = np.random.get_state(), random.getstate()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            np.random.set_state(of_numpy)
            random.setstate(of_python)
