from __future__ import annotations

import pytest
from torch_geometric.data import Data

from .searches import graph


@pytest.fixture
def data() -> Data:
    return graph()
