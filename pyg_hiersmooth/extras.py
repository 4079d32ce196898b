r"""Optional dependencies: imported when needed, and named with the extra they belong to."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    r"""Imports an optional module.

    Raises:
        ImportError: If it is not installed, naming the extra that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"'{module}' is not installed; it comes with: pip install pyg_hiersmooth[{extra}]"
        ) from error
