from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import pyg_hiersmooth


@pytest.mark.parametrize("name", sorted(pyg_hiersmooth._EXPORTS))
def test_names_at_the_top_are_those_below(name: str) -> None:
    home = import_module(f"pyg_hiersmooth.{pyg_hiersmooth._EXPORTS[name]}")
    assert getattr(pyg_hiersmooth, name) is getattr(home, name)
    assert name in dir(pyg_hiersmooth) and name in pyg_hiersmooth.__all__


def test_importing_the_package_waits_for_nothing() -> None:
    code = "import sys, pyg_hiersmooth; assert not {'torch', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'SmoothedEdgeClassifier'"):
        pyg_hiersmooth.SmoothedEdgeClassifier  # noqa: B018
