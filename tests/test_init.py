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


def test_what_needs_no_graph_waits_for_neither_pyg_nor_statistics() -> None:
    code = (
        "import sys, pyg_hiersmooth.certificates, pyg_hiersmooth.sampling\n"
        "import pyg_hiersmooth.selection, pyg_hiersmooth.noise.noises\n"
        "late = {'torch_geometric', 'torch._dynamo', 'scipy.stats', 'pandas', 'matplotlib'}\n"
        "assert not late & sys.modules.keys(), late & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_waits_for_more_than_pyg() -> None:
    # PyG itself imports torch._dynamo, which takes seconds.
    code = (
        "import sys, torch_geometric\n"
        "before = set(sys.modules)\n"
        "import pyg_hiersmooth.tuning, pyg_hiersmooth.study.runner\n"
        "late = ('torch._dynamo', 'scipy.stats', 'matplotlib', 'networkx', 'bokeh', 'optuna')\n"
        "new = [name for name in sys.modules.keys() - before if name.startswith(late)]\n"
        "assert not new, new"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'SmoothedEdgeClassifier'"):
        pyg_hiersmooth.SmoothedEdgeClassifier  # noqa: B018
