r"""Time and memory to certify few targets, by the size of the graph and the number of targets.

Graphs are made: power-law degrees of mean 14, 128 features, 40 classes. Each measurement runs in a
process of its own. Memory is the largest proportional set size of all processes together, less
that before certifying, which holds the graph, the libraries and the model; pages of a mapped file
count as soon as they are read. Processor time is that of all processes together.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
import torch
from rich.console import Console
from rich.table import Table
from throughput import PeakMemory
from torch_geometric.data import Data

from pyg_hiersmooth.models import build_model
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

MEAN_DEGREE, NUM_FEATURES, NUM_CLASSES = 14, 128, 40


def made_graph(
    num_nodes: int, exponent: float = 3.0, file: Path | None = None, seed: int = 0
) -> Data:
    r"""A random graph with given expected degrees (Chung & Lu 2002), undirected.

    Args:
        num_nodes (int): Number of nodes.
        exponent (float): Of the power law ``P(degree) ~ degree ** -exponent``, up to
            ``sqrt(MEAN_DEGREE * num_nodes)``. (default: :obj:`3.0`, as by preferential attachment)
        file (Path, optional): Where features are kept, and mapped from.
        seed (int): Seed. (default: :obj:`0`)
    """
    rng = np.random.default_rng(seed)
    most, least = np.sqrt(MEAN_DEGREE * num_nodes), MEAN_DEGREE * (exponent - 2) / (exponent - 1)
    weight = least * (1.0 - rng.random(num_nodes)) ** (-1.0 / (exponent - 1.0))
    weight = np.minimum(weight, most)
    ends = np.searchsorted(
        (weight / weight.sum()).cumsum(), rng.random((2, num_nodes * MEAN_DEGREE // 2))
    ).clip(max=num_nodes - 1)
    edges = torch.from_numpy(np.concatenate([ends, ends[::-1]], axis=1))
    generator = torch.Generator().manual_seed(seed)
    if file is None:
        x = torch.empty(num_nodes, NUM_FEATURES)
    else:
        size = num_nodes * NUM_FEATURES
        x = torch.from_file(str(file), shared=True, size=size).view(num_nodes, NUM_FEATURES)
    for rows in x.split(100_000):
        rows.normal_(generator=generator)
    return Data(x=x, edge_index=edges)


def memory() -> int:
    r"""Bytes of this process."""
    return psutil.Process().memory_full_info().pss


def processor_time() -> float:
    r"""Seconds of this process and of those that it started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measure(
    num_nodes: int,
    num_targets: int,
    samples: int,
    workers: int,
    mapped: bool,
    exponent: float,
    partitions: int = 0,
    whole: bool = False,
) -> None:
    r"""Certifies once, and prints what it took as JSON."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "x") if mapped else None
        graph = made_graph(num_nodes, exponent, file)
        if file is not None:  # as if nothing had been read yet
            graph.x = torch.from_file(str(file), size=graph.x.numel()).view_as(graph.x)
        model = build_model("gcn", NUM_FEATURES + 1, NUM_CLASSES)
        transform = HierarchicalNodeFeatureNoise(0.8, GaussianNoise(0.25))
        counts: dict[str, Any] = {"n0": 100, "n": samples}
        if partitions > 0:
            silent = AblationNoise(of="messages")
            transform = HierarchicalNodeFeatureNoise(PartitionSelection(20, partitions), silent)
            counts = {}
        smoothed = SmoothedNodeClassifier(
            model, transform, NUM_CLASSES, num_hops=None if whole else "model"
        )
        targets = torch.randperm(num_nodes)[:num_targets]
        options = VoterOptions(0, enumerate_outcomes=partitions > 0)
        before, start = memory(), time.perf_counter()
        with PeakMemory() as peak:
            voter = smoothed._voter(smoothed._cleaned(graph), targets, options)
            prepared = time.perf_counter() - start
            del voter
            smoothed._prepared.clear()
            start, worked = time.perf_counter(), processor_time()
            smoothed.certify(
                graph, node_index=targets, num_workers=workers, progress=False, **counts
            )
            seconds, worked = time.perf_counter() - start, processor_time() - worked
        found = {
            "seconds": seconds,
            "processor": worked,
            "of that preparing": prepared,
            "GB beyond the graph": max(peak.peak - before, 0) / 2**30,
            "neighborhoods": smoothed.neighborhoods,
        }
        print(json.dumps(found))


@click.command(help=__doc__)
@click.option("--nodes", default="10000,100000,1000000", show_default=True, help="Sizes.")
@click.option("--targets", default="100", show_default=True, help="Numbers of targets.")
@click.option("--samples", default=1_000, show_default=True, help="n; 100 more choose a class.")
@click.option("--workers", default=2, show_default=True, help="Processes that sample.")
@click.option("--exponent", default=3.0, show_default=True, help="Of the power law of degrees.")
@click.option("--mapped", is_flag=True, help="Map the features from a file.")
@click.option("--partitions", default=0, help="Ablate messages, exactly, by so many of 20 groups.")
@click.option("--whole", is_flag=True, help="Sample the whole graph.")
@click.option("--out", type=click.Path(path_type=Path), help="File for the numbers, as JSON.")
@click.option("--one", is_flag=True, hidden=True)
def main(
    nodes: str,
    targets: str,
    samples: int,
    workers: int,
    exponent: float,
    mapped: bool,
    partitions: int,
    whole: bool,
    out: Path | None,
    one: bool,
) -> None:
    if one:
        measure(int(nodes), int(targets), samples, workers, mapped, exponent, partitions, whole)
        return
    rows = []
    for size in map(int, nodes.split(",")):
        for count in map(int, targets.split(",")):
            command = [sys.executable, __file__, "--one", "--nodes", str(size)]
            command += ["--targets", str(count), "--samples", str(samples)]
            command += ["--workers", str(workers), "--exponent", str(exponent)]
            command += ["--mapped"] * mapped + ["--whole"] * whole
            command += ["--partitions", str(partitions)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append({"nodes": size, "targets": count, **json.loads(done.stdout)})
            print(rows[-1], file=sys.stderr)
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{v:.2f}" if isinstance(v, float) else str(v) for v in row.values()))
    Console(width=140).print(table)
    if out is not None:
        out.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
