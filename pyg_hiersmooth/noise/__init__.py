r"""Lower-level noise: one file per distribution, its sampler and its worst case side by side."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyg_hiersmooth.noise.noises import *  # noqa: F403


def __getattr__(name: str) -> Any:
    # The command line shows its help from the kinds alone, without waiting for PyTorch.
    return getattr(import_module(f"{__name__}.noises"), name)


def __dir__() -> list[str]:
    return import_module(f"{__name__}.noises").__all__
