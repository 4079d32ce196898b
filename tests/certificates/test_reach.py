from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from pyg_hiersmooth.certificates import CollectiveCertificate, certify_counts
from pyg_hiersmooth.certificates.reach import Reach
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import PartitionSelection

SMOOTHING: Any = SimpleNamespace(selection=PartitionSelection(9, 1), noise=AblationNoise())
LINE = np.abs(np.arange(5)[:, None] - np.arange(5)) <= 1
INDEX = np.array([3, 0, 4])
CERTIFICATE = certify_counts(SMOOTHING, [[9, 0], [5, 4], [7, 2]], index=INDEX, num_entities=5)


def test_it_is_a_sparse_array_that_knows_its_targets() -> None:
    known = Reach.of_targets(sparse.csr_array(LINE[INDEX]), INDEX)
    assert np.array_equal(known.toarray(), LINE[INDEX]) and known.targets.dtype == np.int64
    assert known[[0, 2]].targets is None and known.tocsc().nnz == LINE[INDEX].sum()
    for field in (known, LINE[INDEX]):
        assert CollectiveCertificate(CERTIFICATE, field).num_robust(1) >= 1


def test_targets_in_another_order_are_refused() -> None:
    by_mask = np.sort(INDEX)
    known = Reach.of_targets(LINE[by_mask], by_mask)
    with pytest.raises(ValueError, match="of the certificate's targets, in their order"):
        CollectiveCertificate(CERTIFICATE, known)
    with pytest.raises(ValueError, match=r"lacks node 3; rows in another order\?"):
        CollectiveCertificate(CERTIFICATE, LINE[by_mask])
    with pytest.raises(ValueError, match=r"row 2 lacks node 4"):
        CollectiveCertificate(CERTIFICATE, LINE[[3, 0, 0]])
    everywhere = Reach.of_targets(np.ones((3, 5), bool), by_mask)
    with pytest.raises(ValueError, match="got one of other targets, or in another order"):
        CollectiveCertificate(CERTIFICATE, everywhere)
    elsewhere = Reach.of_targets(np.zeros((3, 5), bool), INDEX)  # of another type of nodes
    assert CollectiveCertificate(CERTIFICATE, elsewhere).num_robust(3) == 3
