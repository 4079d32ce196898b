r"""Optional dependencies: imported when needed, and named with the extra they belong to."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    r"""Imports an optional module.

    Raises:
        ImportError: If it is not installed, naming the package and the extra that bring it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        # The extra is named by its folder: nobody holds this package's name on the index.
        raise ImportError(
            f"'{package}' is not installed: run pip install {package}, or pip install "
            f"'.[{extra}]' in a clone of the repository"
        ) from error
