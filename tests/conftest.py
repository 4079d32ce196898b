from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A writable copy of the real data in the folder that HIERSMOOTH_DATA names."""
    source = os.environ.get("HIERSMOOTH_DATA", "")
    if not Path(source, "Planetoid").is_dir():
        pytest.skip("real data: set HIERSMOOTH_DATA to a folder with Planetoid/Cora/raw and so on")
    root = tmp_path_factory.mktemp("data") / "real"
    shutil.copytree(source, root)
    return root
