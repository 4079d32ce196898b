r"""The part of a ``Compose`` before the noise: applied once, and tried.

The certificate counts changed rows of the result. It is about changed rows of the user's graph only
where each row of the result depends on one row of the graph, and nothing else depends on features.
Where edges change as well, an edge of the result must depend on the edges between its ends alone,
and nothing else on edges.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import Tensor
from torch_geometric.transforms import Compose

from pyg_hiersmooth.errors import NotCertifiableError
from pyg_hiersmooth.nn.calls.inputs.graph import Graph, as_graph
from pyg_hiersmooth.nn.calls.inputs.items import same
from pyg_hiersmooth.nn.calls.structure import STRUCTURE
from pyg_hiersmooth.sampling.generators import generator_states
from pyg_hiersmooth.transforms.edge_forms import edge_ends, keep_edges, shallow_copy

ROW = "row_before_transform"
r"""An attribute that carries the numbers of nodes through a transform."""

Removal = Callable[[Tensor, Tensor], Tensor]
r"""Tells which pairs are removed, bool, from the smaller node and the larger one of each."""


def _third(low: Tensor, high: Tensor) -> Tensor:
    r"""Which of three thirds each pair is in, as if at random (Knuth 1973, multiplicative hash)."""
    return ((high * (high + 1) // 2 + low) * 2654435761 >> 16) % 3


REMOVALS: tuple[Removal, ...] = (
    *(lambda low, high, third=third: _third(low, high) == third for third in range(3)),
    lambda low, high: (low % 3 == 0) | (high % 3 == 0),
)
r"""Each pair is removed once, with a third of all; then all pairs of a third of the nodes."""

CHANGED = 8
r"""The most rows that are changed in a trial of few rows."""

HALVES = 4
r"""Trials in which half of all rows are changed."""


class Cleaning:
    r"""Applies to a graph what comes before the noise.

    Args:
        transform (Compose): What comes before it.
        noised (str, optional): The node type whose features get noise, in heterogeneous graphs.
        keep (tuple of str): Attributes besides the structure that the model gets.
        node_level (bool): Whether nodes are classified, which keep their numbers then.
        edges_change (bool): Whether the adversary may change edges.
        unbounded (bool): Whether the adversary may write any numbers into features.
    """

    def __init__(
        self,
        transform: Compose,
        noised: str | None = None,
        keep: Collection[str] = (),
        node_level: bool = True,
        edges_change: bool = False,
        unbounded: bool = False,
    ) -> None:
        self.edges_change, self.unbounded = edges_change, unbounded
        self.transform, self.noised, self.node_level = transform, noised, node_level
        self.seen = STRUCTURE.union(keep)
        self.names = ", ".join(type(each).__name__ for each in transform.transforms)

    def __call__(self, graph: Graph) -> Graph:
        r"""The graph that the noise is added to.

        Raises:
            NotCertifiableError: If the transform draws random numbers, mixes rows, or makes edges
                of features.
            ValueError: If it changes which nodes there are.
        """
        graph = as_graph(graph)
        x = self._store(graph).x
        drawn = generator_states(x.device)
        cleaned = self._applied(graph, x)
        if generator_states(x.device) != drawn:
            self._refuse_draws()
        rows = self._rows(cleaned, x.size(0))
        for source in exchanges(x):
            again = self._applied(graph, changed_rows(x, source))
            self._compare(graph, cleaned, again, rows, source != torch.arange(len(source)))
        if self.unbounded:
            self._warn_of_numbers_beyond(graph, cleaned, rows, x)
        if self.edges_change:
            self._try_edges(graph, cleaned, x)
        return as_graph(cleaned, f"the graph after {self.names}")

    def _warn_of_numbers_beyond(
        self, graph: Graph, cleaned: Graph, rows: Tensor, x: Tensor
    ) -> None:
        r"""Warns if rows stay apart only while no number is below or above all others."""
        for changed, beyond in beyond_all(x):
            try:
                again = self._applied(graph, beyond)
            except (MemoryError, torch.cuda.OutOfMemoryError):  # says nothing about the numbers
                raise
            except Exception:  # a user's transform says in any way what it does not take
                continue
            try:
                self._compare(graph, cleaned, again, rows, changed)
            except NotCertifiableError:
                warnings.warn(
                    f"{self.names} before the noise: a number below or above all others in one row "
                    "would move other rows, so the certificate is about features within their "
                    "present range alone; to cover any numbers, compute each row from that row "
                    "alone, such as data.x / data.x.sum(1, keepdim=True).clamp(min=1)",
                    stacklevel=2,
                )
                return

    def _compare(
        self, graph: Graph, cleaned: Graph, again: Graph, rows: Tensor, changed: Tensor
    ) -> None:
        r"""Refuses if more moved than the rows that were changed, bool ``[N]``."""
        self._rows(again, len(changed))
        before, after = self._store(cleaned).x, self._store(again).x
        fits = isinstance(after, Tensor) and after.shape == before.shape
        moved = differing_rows(before, after) if fits else torch.arange(before.size(0))
        owners = rows[moved]
        if bool((~changed[owners]).any()) or owners.unique().numel() < owners.numel():
            self._refuse(graph, cleaned, "rows of other nodes moved")
        if not same(self._rest(cleaned), self._rest(again)):
            self._refuse(graph, cleaned, "edges or other attributes moved")

    def _try_edges(self, graph: Graph, cleaned: Graph, x: Tensor) -> None:
        for removed in REMOVALS:
            again = self._applied(without_pairs(graph, removed), x)
            self._rows(again, x.size(0))
            others = (without_pairs(each, removed) for each in (cleaned, again))
            parts = [(self._store(each).x, self._rest(each)) for each in others]
            if not same(*parts):
                raise NotCertifiableError(
                    "transforms before the noise must make each edge of those between its ends "
                    "alone, and nothing else of edges, since the certificate counts changed edges "
                    f"(got {self.names}, and something else moved when a few edges were removed): "
                    "apply it to the data yourself, and certify changes of its result"
                )

    def _applied(self, graph: Graph, x: Tensor) -> Graph:
        given = copy.copy(graph)
        store = self._store(given)
        store.x = x.clone()
        store[ROW] = torch.arange(x.size(0), device=x.device)
        return self.transform(given)

    def _store(self, graph: Any) -> Any:
        return graph if self.noised is None else graph[self.noised]

    def _rows(self, cleaned: Graph, num_nodes: int) -> Tensor:
        r"""Which row of the graph each row of the result comes from, int64."""
        store = self._store(cleaned)
        found = store.get("x")
        left = found.size(0) if isinstance(found, Tensor) else 0
        rows = store.get(ROW)
        if rows is not None:
            del store[ROW]
        before = torch.arange(num_nodes)
        rows = before if rows is None else rows.cpu()
        stays = left == num_nodes and torch.equal(rows, before)
        if (self.node_level or self.edges_change) and not stays:
            raise ValueError(
                "transforms before the noise must keep all nodes in their order, since targets are "
                "nodes of the given graph, and certificates may cover nodes added to it (got "
                f"{left} of {num_nodes} nodes, or another order, from {self.names}): apply it to "
                "the data yourself, and name the nodes of its result"
            )
        if len(rows) != left:
            raise ValueError(
                "transforms before the noise must reorder attributes of nodes like the nodes (got "
                f"another order from {self.names}): apply them to the data yourself"
            )
        return rows

    def _rest(self, graph: Graph) -> dict[Any, dict[str, Any]]:
        r"""What else a model may see."""
        rest = {}
        for store in graph.stores:
            own = self.noised is None or store._key == self.noised
            names = self.seen if own else self.seen | {"x"}
            rest[store._key] = {name: store[name] for name in names if name in store}
        return rest

    def _refuse(self, graph: Graph, cleaned: Graph, what: str) -> None:
        once_more = self._applied(graph, self._store(graph).x)
        self._rows(once_more, self._store(graph).x.size(0))
        parts = [(self._store(each).x, self._rest(each)) for each in (cleaned, once_more)]
        if not same(*parts):
            self._refuse_draws()
        raise NotCertifiableError(
            "transforms before the noise must compute each row of features from that row alone, "
            f"since the certificate counts changed rows (got {self.names}, and {what} when a few "
            "rows were changed): apply them to the data yourself, and certify changes of their "
            "result"
        )

    def _refuse_draws(self) -> None:
        raise NotCertifiableError(
            "transforms before the noise must give the same result every time (got random numbers "
            f"in {self.names}): apply them to the data yourself"
        )


def without_pairs(graph: Graph, removed: Removal) -> Graph:
    r"""The graph without the edges, in both directions, between some pairs of nodes."""
    out = shallow_copy(graph)
    kept = {}
    for form, ends in edge_ends(out._store).items():
        kept[form] = ~removed(torch.minimum(*ends), torch.maximum(*ends))
    keep_edges(out, out._store, kept)
    return out


def exchanges(x: Tensor) -> Iterator[Tensor]:
    r"""Which row stands in for each row, int64 ``[N]``: once for the rows with the largest and
    smallest number and a few more, once these two in place of a few others, and a few times for
    half of all rows, among which are some whose features would reach the other half.
    """
    num_rows = x.size(0)
    if num_rows < 2 or x.size(1) == 0:
        return
    if num_rows < 4:
        for row in range(num_rows):
            source = torch.arange(num_rows)
            source[row] = (row + 1) % num_rows
            yield source
        return
    largest, smallest = _extreme_rows(x)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(num_rows, generator=generator)
    ordinary = order[(order != largest) & (order != smallest)]
    first = torch.tensor(list(dict.fromkeys([largest, smallest, *ordinary.tolist()])))
    count = min(CHANGED, num_rows // 2)
    source = torch.arange(num_rows)
    source[first[:count]] = first[count : 2 * count]
    yield source
    source = torch.arange(num_rows)
    few = ordinary[: max(1, count - 2)]
    source[few[::2]], source[few[1::2]] = largest, smallest
    yield source
    for _ in range(HALVES):
        half = torch.randperm(num_rows, generator=generator)[: num_rows // 2]
        source = torch.arange(num_rows)
        source[half] = half.roll(1)
        yield source


def beyond_all(x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    r"""Which rows are changed, bool ``[N]``, and features with numbers in them that are below, or
    above, all others; nothing where there are no other numbers.
    """
    if x.dtype == torch.bool or x.size(0) < 2 or x.size(1) == 0:
        return
    changed = torch.zeros(x.size(0), dtype=torch.bool)
    changed[: min(CHANGED, x.size(0) // 2)] = True
    values = x if x.layout == torch.strided else x.to_sparse_coo().coalesce().values()
    if values.numel() > 0:
        for number in (values.min() - 1, values.max() + 1):
            yield changed, written(x, changed, number)


def written(x: Tensor, changed: Tensor, number: Tensor) -> Tensor:
    r"""Features with a number in all columns of some rows, bool ``[N]``; where they are sparse, in
    place of what is stored there.
    """
    rows = changed.to(x.device)
    if x.layout == torch.strided:
        return torch.where(rows.view(-1, 1), number, x)
    entries = (x.to_sparse_coo() if x.layout == torch.sparse_csr else x).coalesce()
    values = torch.where(rows[entries.indices()[0]], number, entries.values())
    out = torch.sparse_coo_tensor(entries.indices(), values, x.shape, check_invariants=False)
    out = out.coalesce()
    return out.to_sparse_csr() if x.layout == torch.sparse_csr else out


def changed_rows(x: Tensor, source: Tensor) -> Tensor:
    r"""Features with some rows in place of others, or, where that makes no difference, with other
    numbers in them.
    """
    coo = x.layout == torch.sparse_csr
    taken = (x.to_sparse_coo() if coo else x).index_select(0, source.to(x.device))
    other = taken.to_sparse_csr() if coo else taken
    if x.layout != torch.strided or not torch.equal(x, other):
        return other
    changed = (source != torch.arange(len(source))).to(x.device)
    return torch.where(changed.view(-1, 1), (x + 1).to(x.dtype), x)


def differing_rows(one: Tensor, other: Tensor) -> Tensor:
    r"""The rows in which two matrices of one shape differ, int64; NaN is like NaN."""
    if one.layout == torch.strided and other.layout == torch.strided:
        unlike = (one != other) & ~((one != one) & (other != other))
        return unlike.any(dim=1).nonzero().view(-1).cpu()
    difference = (one.to_sparse_coo() - other.to_sparse_coo()).coalesce()
    return difference.indices()[0][difference.values() != 0].unique().cpu()


def _extreme_rows(x: Tensor) -> tuple[int, int]:
    if x.layout == torch.strided:
        return int(x.amax(dim=1).argmax()), int(x.amin(dim=1).argmin())
    entries = x.to_sparse_coo().coalesce()
    rows, values = entries.indices()[0], entries.values()
    if values.numel() == 0:
        return 0, 0
    return int(rows[values.argmax()]), int(rows[values.argmin()])
