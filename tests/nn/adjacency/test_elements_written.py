from __future__ import annotations

import torch

from pyg_hiersmooth.nn.adjacency.elements_written import ElementsWritten


def written_by(function) -> int:
    with ElementsWritten() as written:
        function()
    return written.count


def test_what_is_written_counts_and_views_do_not() -> None:
    x = torch.ones(3, 4)
    assert written_by(lambda: x + 1) == 12
    assert written_by(lambda: x.t().reshape(2, 6)) == 12  # a copy
    assert written_by(lambda: x.view(12)[2:5]) == 0
    assert written_by(lambda: x.add_(1)) == 12


def test_gathered_messages_count_by_the_edge_and_fused_products_by_the_node() -> None:
    x, index = torch.ones(5, 8), torch.randint(5, (40,))
    gathered = written_by(lambda: torch.zeros(5, 8).index_add_(0, index, x[index]))
    matrix = torch.sparse_coo_tensor(
        torch.stack([index, index.flip(0)]), torch.ones(40), (5, 5)
    ).to_sparse_csr()
    fused = written_by(lambda: matrix @ x)
    assert gathered >= 40 * 8 > 5 * 8 == fused


def test_the_same_in_every_run() -> None:
    layer, x = torch.nn.Linear(8, 3), torch.ones(5, 8)
    assert len({written_by(lambda: layer(x).relu()) for _ in range(3)}) == 1
