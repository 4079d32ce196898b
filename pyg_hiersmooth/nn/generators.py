r"""The global generators of PyTorch, NumPy and Python."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

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
