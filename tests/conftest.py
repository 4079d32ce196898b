from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

OWN = '''
import torch


class Net(torch.nn.Module):
    """A model of the user's own."""

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.own = torch.nn.Linear(in_channels, num_classes)

    def forward(self, x, edge_index):
        return self.own(x)


def wide_net(in_channels, num_classes):
    return Net(10 * in_channels, num_classes)


class Needy(torch.nn.Module):
    def __init__(self, in_channels, num_classes, depth):
        super().__init__()


class Failing(torch.nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        assert num_classes == 2


class NoModel:
    def __init__(self, in_channels, num_classes):
        pass


size = 3
'''


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A writable copy of the real data in the folder that HIERSMOOTH_DATA names."""
    source = os.environ.get("HIERSMOOTH_DATA", "")
    if not Path(source, "Planetoid").is_dir():
        pytest.skip("real data: set HIERSMOOTH_DATA to a folder with Planetoid/Cora/raw and so on")
    root = tmp_path_factory.mktemp("data") / "real"
    shutil.copytree(source, root)
    return root


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with modules of the user's own in it."""
    modules = {"own_models": OWN, "broken_models": "class Net(:", "failing_models": "1 / 0"}
    for name, code in modules.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield tmp_path
    for name in modules:
        sys.modules.pop(name, None)
