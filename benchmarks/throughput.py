r"""Time per sample: this package, a plain loop, and the floor, in one run.

The plain loop is what one writes without the package: exact draws on the selected rows of dense
features, one forward pass a sample, all cores. The floor is the model's own work after its first
linear maps, on ready hidden features, with the same engine and workers: what is left if noise
were free. A draw is what noise costs on one thread, products with the first maps included. Memory
is the largest proportional set size of all processes together.

A second table counts everything, audits included: the first and the second call of a new
classifier, in dense forward passes, both as seconds of one thread; and, as a user waits for it, a
run of :data:`TOGETHER` samples against as many passes of the plain loop.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import psutil
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.datasets import load_dataset
from pyg_hiersmooth.models import MODELS, build_model
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.voters.forward_voter import ForwardVoter
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, Noise, SparseFlipNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling import sample_votes
from pyg_hiersmooth.sampling.engine import single_thread
from pyg_hiersmooth.sampling.features import FeatureSource
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

P = 0.81
NOISES: dict[str, Noise] = {"flips": SparseFlipNoise(0.05, 0.8), "gaussian": GaussianNoise(0.25)}
NUM_TARGETS = 253
TOGETHER = 400
CALLS = {
    "exact": HierarchicalNodeFeatureNoise(PartitionSelection(10, 10), AblationNoise()),
    "messages": HierarchicalNodeFeatureNoise(P, AblationNoise(of="messages")),
}
r"""Smoothings of which the second table counts calls, besides those of :data:`NOISES`."""


class ReadyFeatures(FeatureSource):
    r"""Returns one draw of another source again and again."""

    def __init__(self, source: FeatureSource) -> None:
        super().__init__(source.transform, source.x, source.sizes)
        self.ready, self.source = source.draw([RandomStream(0)]), source
        self.selected = source.select(RandomStream(0))
        self.description = "ready"

    def select(self, stream: RandomStream) -> Tensor:
        return self.selected

    def draw_given(self, *args: object, **kwargs: object) -> Tensor:
        return self.ready

    def written_out(self, selected: Tensor, stream: RandomStream) -> Tensor:
        return self.source.written_out(selected, stream)


class PeakMemory:
    r"""Watches the memory of this process and its children from a thread."""

    def __enter__(self) -> PeakMemory:
        self.peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        this = psutil.Process()
        while not self._stop.wait(0.25):
            total = 0
            for process in [this, *this.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total)


def plain_loop(model: torch.nn.Module, data: Data, noise: Noise, num_samples: int) -> Tensor:
    r"""Votes of all nodes by dense noisy features, one forward pass a sample."""
    x, num_nodes = data.x, data.num_nodes
    votes = torch.zeros(num_nodes, 7, dtype=torch.long)
    with torch.no_grad():
        for _ in range(num_samples):
            selected = torch.rand(num_nodes, dtype=torch.float64) < P
            rows = x[selected]
            if isinstance(noise, SparseFlipNoise):
                flip_probability = torch.where(rows > 0, noise.p_minus, noise.p_plus)
                rows = (rows - (torch.rand_like(rows) < flip_probability).float()).abs()
            else:
                rows = rows + 0.25 * torch.randn_like(rows)
            noisy = x.clone()
            noisy[selected] = rows
            features = torch.cat([noisy, selected.float().view(-1, 1)], dim=1)
            prediction = model(features, data.edge_index).argmax(dim=1)
            votes[torch.arange(num_nodes), prediction] += 1
    return votes


def milliseconds_per_sample(run: Callable[[int], object], num_samples: int) -> float:
    r"""Time of a run of ``num_samples``, without what does not grow with it."""
    times = []
    for count in (1, num_samples):
        start = time.perf_counter()
        run(count)
        times.append(time.perf_counter() - start)
    return 1e3 * (times[1] - times[0]) / (num_samples - 1)


def milliseconds_per_draw(source: FeatureSource, repeats: int = 101) -> float:
    r"""Median time of one draw of features, behind the first linear maps, on one thread."""
    with single_thread(source.x.device), torch.no_grad():
        draws = [seconds(lambda: source.draw([RandomStream(i)])) for i in range(repeats)]  # noqa: B023
    return 1e3 * statistics.median(draws)


def measure(
    model_name: str, noise_name: str, data: Data, num_samples: int, workers: int, repeats: int
) -> dict[str, float | str]:
    r"""One row of the table: medians over repeats that take turns."""
    torch.manual_seed(0)
    model = build_model(model_name, data.x.size(1) + 1, int(data.y.max()) + 1).eval()
    transform = HierarchicalNodeFeatureNoise(P, NOISES[noise_name])
    targets = torch.arange(NUM_TARGETS)
    num_classes = int(data.y.max()) + 1

    def voter() -> ForwardVoter:
        forward = GraphForward(None, [data], node_level=True)
        sizes = [data.num_nodes]
        options = VoterOptions(seed=0)
        given = model, forward, transform, data.x, sizes, targets, num_classes, options
        return ForwardVoter.tried(*given)

    ours, floor = voter(), voter()
    floor.model.source = ReadyFeatures(floor.model.source)

    def sample(made: ForwardVoter, count: int) -> None:
        with torch.no_grad():
            sample_votes(made, count, num_workers=workers, progress=False)

    ours_ms, floor_ms, plain_ms = [], [], []
    with PeakMemory() as memory:
        for _ in range(repeats):
            ours_ms.append(milliseconds_per_sample(lambda n: sample(ours, n), num_samples))
    for _ in range(repeats):
        floor_ms.append(milliseconds_per_sample(lambda n: sample(floor, n), num_samples))
        ours_ms.append(milliseconds_per_sample(lambda n: sample(ours, n), num_samples))
        plain_ms.append(
            milliseconds_per_sample(
                lambda n: plain_loop(model, data, transform.noise, n), max(num_samples // 20, 5)
            )
        )
    own, least, plain = map(statistics.median, (ours_ms, floor_ms, plain_ms))
    return {
        "model": model_name,
        "noise": noise_name,
        "ours_ms": own,
        "draw_ms": milliseconds_per_draw(ours.model.source),
        "plain_ms": plain,
        "floor_ms": least,
        "plain_over_ours": plain / own,
        "ours_over_floor": own / least,
        "peak_memory_gb": memory.peak / 1e9,
        "feature_path": ours.model.source.description,
    }


def seconds(run: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    r"""How long a call takes: seconds of this process, unless the clock is another one."""
    start = clock()
    run()
    return clock() - start


@dataclass(frozen=True)
class Calls:
    r"""One row of the second table; passes are dense ones."""

    model: str
    noise: str
    dense_ms: float
    first_passes: float
    again_passes: float
    together_ms: float | None
    plain_over_together: float | None


def measure_calls(
    model_name: str, noise_name: str, data: Data, repeats: int, plain_ms: float
) -> Calls:
    r"""One row of the second table: medians over classifiers that know nothing yet."""
    torch.manual_seed(0)
    num_classes = int(data.y.max()) + 1
    model = build_model(model_name, data.x.size(1) + 1, num_classes).eval()
    exact = noise_name == "exact"
    transform = CALLS.get(noise_name) or HierarchicalNodeFeatureNoise(P, NOISES[noise_name])
    samples: dict[str, Any] = {} if exact else {"n0": 1, "n": 1}
    quiet: dict[str, Any] = {"progress": False, "node_index": torch.arange(NUM_TARGETS)}
    x = torch.cat([data.x, torch.zeros(data.num_nodes, 1)], dim=1)
    dense, first, again, together = [], [], [], []
    for _ in range(repeats):
        smoothed = SmoothedNodeClassifier(model, transform, num_classes)
        call = functools.partial(smoothed.certify, data, **samples, **quiet)
        with single_thread(data.x.device), torch.no_grad():
            passes = [seconds(lambda: model(x, data.edge_index)) for _ in range(9)]
            dense.append(statistics.median(passes))
            first.append(seconds(call))
            again.append(seconds(call))
        if plain_ms > 0:
            new = SmoothedNodeClassifier(model, transform, num_classes)
            run = functools.partial(new.sample_votes, data, TOGETHER, **quiet)
            together.append(seconds(run, time.perf_counter))
    one = statistics.median(dense)
    run_ms = 1e3 * statistics.median(together) if together else None
    return Calls(
        model_name,
        noise_name,
        dense_ms=1e3 * one,
        first_passes=statistics.median(first) / one,
        again_passes=statistics.median(again) / one,
        together_ms=run_ms,
        plain_over_together=None if run_ms is None else TOGETHER * plain_ms / run_ms,
    )


@click.command()
@click.option("--dataset", default="CitationSBM", show_default=True)
@click.option("--root", default="data", show_default=True, help="Folder of the datasets.")
@click.option("--model", "models", multiple=True, type=click.Choice(list(MODELS["node"])))
@click.option("--noise", "noises", multiple=True, type=click.Choice(list(NOISES)))
@click.option("--num-samples", default=1_000, show_default=True, type=click.IntRange(min=20))
@click.option("--workers", default=os.cpu_count() or 1, show_default=True)
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--out", default="throughput.json", show_default=True, help="Where the JSON goes.")
def main(
    dataset: str,
    root: str,
    models: tuple[str, ...],
    noises: tuple[str, ...],
    num_samples: int,
    workers: int,
    repeats: int,
    out: str,
) -> None:
    r"""Prints time per sample: this package, a plain loop, the floor, and their ratios."""
    data = load_dataset(dataset, root)[0]
    table = Table(title=f"{dataset}, p={P}, {workers} workers, medians of {repeats}")
    for column in (
        "model",
        "noise",
        "ours",
        "draw",
        "plain loop",
        "floor",
        "plain/ours",
        "ours/floor",
    ):
        table.add_column(column, justify="left" if column in ("model", "noise") else "right")
    table.add_column("memory", justify="right")
    rows = []
    for model in models or MODELS["node"]:
        for noise in noises or NOISES:
            count = num_samples if model != "sage" else max(num_samples // 20, 20)
            row = measure(model, noise, data, count, workers, repeats)
            rows.append(row)
            table.add_row(
                model,
                noise,
                *(f"{row[name]:.2f} ms" for name in ("ours_ms", "draw_ms", "plain_ms", "floor_ms")),
                f"{row['plain_over_ours']:.1f}x",
                f"{row['ours_over_floor']:.2f}",
                f"{row['peak_memory_gb']:.2f} GB",
            )
    calls = Table(title=f"everything counted, medians of {repeats}")
    for column in ("model", "noise", "dense pass", "first call", "again", f"{TOGETHER} samples"):
        calls.add_column(column, justify="left" if column in ("model", "noise") else "right")
    calls.add_column("plain/ours", justify="right")
    plain = {(str(row["model"]), str(row["noise"])): float(row["plain_ms"]) for row in rows}
    asked = [*plain, *((model, name) for model in models or MODELS["node"] for name in CALLS)]
    in_all: list[dict[str, Any]] = []
    for model, noise in asked:
        call = measure_calls(model, noise, data, repeats, plain.get((model, noise), 0.0))
        in_all.append(asdict(call))
        ratio, run_ms = call.plain_over_together, call.together_ms
        calls.add_row(
            model,
            noise,
            f"{call.dense_ms:.1f} ms",
            f"{call.first_passes:.0f} passes",
            f"{call.again_passes:.0f} passes",
            "" if run_ms is None else f"{run_ms / 1e3:.2f} s",
            "" if ratio is None else f"{ratio:.1f}x",
        )
    Console(width=110).print(table)
    Console(width=110).print(calls)
    Path(out).write_text(json.dumps([*rows, *in_all], indent=2) + "\n")


if __name__ == "__main__":
    main()
