r"""Time and memory of certification, beside a plain implementation that goes cell by cell.

Votes are drawn from a seeded, plausible distribution, and caches are emptied before every run.
Times are medians; memory is what NumPy allocates at the peak of the task itself (``tracemalloc``),
in a run of its own. The plain implementation runs on a random subset of the cells (or of the
objects, for radii), and its time is extrapolated.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from statistics import median

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import brentq
from scipy.stats import binom, norm

from pyg_hiersmooth.certificates import Certificate, certify_votes
from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.noise import GaussianNoise, Noise, SparseFlipNoise, flips
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

P, P_PLUS, P_MINUS = 0.81, 0.05, 0.8
MAX_R, MAX_ADDITIONS, MAX_DELETIONS = 4, 41, 61
NUM_CELLS = (MAX_R + 1) * (MAX_ADDITIONS + 1) * (MAX_DELETIONS + 1)


def draw_certificate(noise: Noise, num_nodes: int, num_classes: int, kind: Kind) -> Certificate:
    """Most nodes are sure of their class, some waver: Dirichlet shares around a favorite."""
    generator = np.random.default_rng(0)
    favorite = generator.beta(6.0, 0.8, size=num_nodes)
    rest = generator.dirichlet(np.full(num_classes - 1, 0.4), size=num_nodes)
    shares = np.column_stack([favorite, (1.0 - favorite)[:, None] * rest])
    pre_votes, votes = (generator.multinomial(n, shares) for n in (1_000, 10_000))
    transform = HierarchicalNodeFeatureNoise(P, noise)
    return certify_votes(transform, pre_votes, votes, alpha=0.01, kind=kind)


def plain_cell(certificate: Certificate, r: int, additions: int, deletions: int) -> np.ndarray:
    """All nodes in one cell: all pairs of differing additions and deletions, sorted."""
    q = P ** min(r, additions + deletions)
    i, j = np.arange(additions + 1)[:, None], np.arange(deletions + 1)
    clean = binom.pmf(i, additions, P_PLUS) * binom.pmf(j, deletions, P_MINUS)
    perturbed = binom.pmf(i, additions, 1 - P_MINUS) * binom.pmf(j, deletions, 1 - P_PLUS)
    order = np.argsort((perturbed / clean).ravel())
    before = np.concatenate([[0.0], clean.ravel()[order].cumsum()])
    after = np.concatenate([[0.0], perturbed.ravel()[order].cumsum()])
    ours = q * np.interp((certificate.p_lower - (1 - q)) / q, before, after)
    theirs = 1 - q * np.interp(1 - certificate.p_upper / q, before, after)
    return ours > theirs


def plain_radius(certificate: Certificate, node: int, r: int, std: float) -> float:
    """One node and one ``r``: the root by SciPy's scalar solver."""
    q = P**r
    lower = np.clip((certificate.p_lower[node] - (1 - q)) / q, 1e-12, 1.0)
    rival = np.clip(certificate.p_upper[node] / q, 0.0, 1 - 1e-12)

    def difference(eps: float) -> float:
        ours = q * norm.cdf(norm.ppf(lower) - eps / std)
        return float(ours - q * norm.cdf(norm.ppf(rival) + eps / std) - (1 - q))

    return float(brentq(difference, 0.0, 10.0)) if difference(0.0) > 0 else 0.0


def measure(task: Callable[[], object], runs: int) -> tuple[float, float]:
    """Median seconds of cold runs, and peak MiB of one more."""
    seconds = []
    for _ in range(runs):
        empty_caches()
        start = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - start)
    empty_caches()
    tracemalloc.start()
    task()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return median(seconds), peak / 2**20


def empty_caches() -> None:
    flips._regions.cache_clear()
    flips._binomial.cache_clear()


def seconds_each(task: Callable[[int], object], repetitions: int) -> float:
    start = time.perf_counter()
    for repetition in range(repetitions):
        task(repetition)
    return (time.perf_counter() - start) / repetitions


def compare_grids(runs: int, subset: int) -> tuple[str, ...]:
    noise = SparseFlipNoise(P_PLUS, P_MINUS)
    both = [draw_certificate(noise, 253, 7, kind) for kind in ("multiclass", "binary")]
    seconds, memory = measure(
        lambda: [c.grid(MAX_R, MAX_ADDITIONS, MAX_DELETIONS) for c in both], runs
    )
    plain = plain_seconds(both[0], subset) * NUM_CELLS * 2
    return row("Cora-ML grid, 253 nodes, both kinds", seconds, memory, plain, "0.3 s")


def compare_radii(runs: int, subset: int) -> tuple[str, ...]:
    certificate = draw_certificate(GaussianNoise(0.25), 1_000, 7, "multiclass")
    seconds, memory = measure(lambda: [certificate.radius(r) for r in range(6)], runs)
    each = seconds_each(lambda i: plain_radius(certificate, i % 1_000, 1 + i % 5, 0.25), subset)
    return row("radii, 1,000 objects, r <= 5", seconds, memory, each * 5_000, "0.05 s")


def compare_surface(runs: int, subset: int) -> tuple[str, ...]:
    certificate = draw_certificate(SparseFlipNoise(P_PLUS, P_MINUS), 170_000, 40, "multiclass")
    y = np.zeros(170_000, dtype=np.int64)
    seconds, memory = measure(
        lambda: certificate.certified_accuracy_grid(y, MAX_R, MAX_ADDITIONS, MAX_DELETIONS), runs
    )
    plain = plain_seconds(certificate, subset) * NUM_CELLS
    return row("surface, 170,000 nodes, 40 classes", seconds, memory, plain, "20 s, 1.5 GB")


def plain_seconds(certificate: Certificate, subset: int) -> float:
    generator = np.random.default_rng(1)
    sizes = (MAX_R + 1, MAX_ADDITIONS + 1, MAX_DELETIONS + 1)
    cells = [[int(generator.integers(size)) for size in sizes] for _ in range(subset)]
    return seconds_each(lambda i: plain_cell(certificate, *cells[i]), subset)


def row(name: str, seconds: float, memory: float, plain: float, target: str) -> tuple[str, ...]:
    return name, f"{seconds:.3f} s", f"{memory:.0f} MiB", target, f"{plain:,.1f} s"


@click.command(help=__doc__)
@click.option("--runs", default=5, show_default=True, help="Runs to take the median of.")
@click.option(
    "--subset",
    default=300,
    show_default=True,
    help="Size of the subset that is done the plain way.",
)
def main(runs: int, subset: int) -> None:
    table = Table("task", "time", "peak memory", "target", f"plain way, from {subset}")
    for compare in (compare_grids, compare_radii, compare_surface):
        table.add_row(*compare(runs, subset))
    Console().print(table)


if __name__ == "__main__":
    main()
