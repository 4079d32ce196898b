r"""Time of collective certificates on made instances.

The graph is a power law one (preferential attachment), the receptive fields are those of message
passing over some hops, and the votes of the exact certificates (ten partitions into ten groups) are
drawn from a seeded, plausible distribution. Reading the certificates and making the program count.
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import sparse

from pyg_hiersmooth.certificates import Certificate, CollectiveCertificate, certify_counts
from pyg_hiersmooth.noise import AblationNoise, SparseFlipNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection


def power_law_graph(num_nodes: int, edges_each: int, generator: np.random.Generator) -> Any:
    """Preferential attachment: new nodes link to ends of random edges. CSR with self-loops."""
    ends = np.empty(2 * edges_each * num_nodes, dtype=np.int64)
    ends[: 2 * edges_each] = 0
    for node in range(1, num_nodes):
        first = 2 * edges_each * node
        ends[first : first + edges_each] = node
        chosen = generator.integers(0, first, edges_each)
        ends[first + edges_each : first + 2 * edges_each] = ends[chosen]
    source, target = ends.reshape(num_nodes, 2, edges_each).swapaxes(0, 1).reshape(2, -1)
    one_way = sparse.csr_array(
        (np.ones(len(source), dtype=bool), (source, target)), shape=(num_nodes, num_nodes)
    )
    return (one_way + one_way.T + sparse.eye_array(num_nodes, dtype=bool)).astype(bool).tocsr()


def instance(num_nodes: int, num_targets: int, hops: int) -> tuple[Any, np.ndarray]:
    """Receptive fields ``[M, N]`` and shares of votes ``[M, C]`` of random targets."""
    generator = np.random.default_rng(0)
    graph = power_law_graph(num_nodes, 3, generator)
    field = sparse.eye_array(num_nodes, format="csr", dtype=bool)
    field = field[np.sort(generator.choice(num_nodes, num_targets, replace=False))]
    for _ in range(hops):
        field = (field @ graph).astype(bool)
    favorite = generator.beta(4.0, 0.8, size=num_targets)[:, None]
    return field, np.hstack(
        [favorite, (1 - favorite) * generator.dirichlet([0.4] * 6, num_targets)]
    )


def exact_certificate(shares: np.ndarray, num_nodes: int) -> Certificate:
    transform: Any = SimpleNamespace(selection=PartitionSelection(10, 10), noise=AblationNoise())
    votes = np.random.default_rng(1).multinomial(transform.selection.num_masks, shares)
    return certify_counts(transform, votes, num_entities=num_nodes)


def flip_certificate(shares: np.ndarray, num_nodes: int) -> Certificate:
    transform: Any = SimpleNamespace(
        selection=BernoulliSelection(0.9), noise=SparseFlipNoise(0.01, 0.6)
    )
    return Certificate.from_bounds(
        transform, shares.argmax(1), shares.max(1), kind="binary", simultaneous=True
    )


def row(
    name: str, collective: CollectiveCertificate, changed: list[int], **options: Any
) -> list[str]:
    """Seconds for all numbers of changed entities, and the ratios at the first and the last."""
    start = time.perf_counter()
    shares = collective.curve(None, changed, **options)
    seconds = time.perf_counter() - start
    alone = collective.certificate
    budget = {name: value for name, value in options.items() if name in alone.noise.budget}
    return [
        name,
        f"{seconds:.2f} s",
        *(f"{shares[i]:.3f} ({alone.certified_ratio(changed[i], **budget):.3f})" for i in (0, -1)),
    ]


@click.command(help=__doc__)
@click.option("--hops", default=2, show_default=True, help="Message passing steps.")
@click.option("--time-limit", default=10.0, show_default=True, help="Seconds for one MILP.")
def main(hops: int, time_limit: float) -> None:
    table = Table("task", "time", "ratio at first r (one by one)", "ratio at last r (one by one)")
    small, shares = instance(2_810, 253, hops)
    exact = CollectiveCertificate(exact_certificate(shares, 2_810), small)
    table.add_row(*row("253 targets, r = 1..20, LP", exact, [*range(1, 21)], method="lp"))
    for r in (3, 10):
        one = row(f"253 targets, r = {r}, MILP", exact, [r], time_limit=time_limit)
        table.add_row(*one)
    flips = CollectiveCertificate(flip_certificate(shares, 2_810), small)
    budget = {"additions": 2, "deletions": 10}
    table.add_row(
        *row("253 targets, flips 2 + 10, r = 1..5, LP", flips, [1, 2, 3, 5], method="lp", **budget)
    )
    large, shares = instance(100_000, 10_000, hops)
    exact = CollectiveCertificate(exact_certificate(shares, 100_000), large)
    for r in (3, 20):
        name = f"10,000 targets of 100,000 nodes, r = {r}, LP"
        table.add_row(*row(name, exact, [r], method="lp"))
    Console().print(table)
    print(f"Entities in a receptive field: {large.nnz / 10_000:.0f} of 100,000 nodes on average")


if __name__ == "__main__":
    main()
