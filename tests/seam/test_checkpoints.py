"""Rows 10, 11, 13 and 15: votes on disk belong to one function and one run."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_hiersmooth.nn import SmoothedImageClassifier, SmoothedNodeClassifier
from pyg_hiersmooth.sampling.checkpoint import read_votes

from .small import ABLATION, SAMPLES, C, Linear, make_graph, seeded, votes_of
from .verdict import assert_refusal, refused


class Tuned(Linear):
    """A model that depends on much that is no weight."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = 1.0
        self.mode = "plain"
        self.options = {"shift": 0}
        self.register_buffer("offset", torch.zeros(C), persistent=False)
        self.constant = torch.zeros(C)
        self.activation: Callable[[Tensor], Tensor] = torch.tanh

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = self.activation(super().forward(x, edge_index)) + self.offset + self.constant
        logits = logits.roll(self.options["shift"], dims=1)
        scaled = torch.cat([logits[:, :1] * self.temperature, logits[:, 1:]], dim=1)
        return scaled if self.mode == "plain" else scaled.abs()


def first_on(row: int) -> Callable[[nn.Module, Tensor, Data], Tensor]:
    """A call that differs from the plain one only where a row is not ablated."""

    def forward(model: nn.Module, x: Tensor, data: Data) -> Tensor:
        logits = model(x, data.edge_index)
        return logits + 0.3 * torch.eye(C)[0] * (x[row, -1] == 0)

    return forward


def plain(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """The call as it was."""
    return model(x, data.edge_index)


def slightly(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """Another call, whose votes differ in few samples."""
    return model(x, data.edge_index) + 0.05 * torch.eye(C)[1]


def set_attribute(name: str, value: Any) -> Callable[[Tuned], None]:
    """What sets an attribute of a model."""
    return lambda model: setattr(model, name, value)


EDITS: dict[str, Callable[[Tuned], object]] = {
    "number": set_attribute("temperature", 1.05),
    "text": set_attribute("mode", "absolute"),
    "option": lambda model: model.options.update(shift=1),
    "buffer": lambda model: model.offset.add_(torch.tensor([0.0, 0.05, 0.0])),
    "tensor": set_attribute("constant", torch.tensor([0.0, 0.0, 0.05])),
    "function": set_attribute("activation", torch.sigmoid),
    "weight": lambda model: model.own.weight.data.mul_(1.01),
    "hook": lambda model: model.register_forward_hook(lambda m, args, out: out.relu()),
}


@pytest.mark.parametrize("name", EDITS)
def test_another_model_does_not_resume(name: str, tmp_path: Path) -> None:
    data, model = make_graph(), seeded(Tuned)
    file = tmp_path / "votes.npz"
    votes = votes_of(model, data, num_samples=20, checkpoint=file)
    saved = file.read_bytes()
    EDITS[name](model)
    refused(lambda: votes_of(model, data, checkpoint=file))
    assert file.read_bytes() == saved
    again = votes_of(seeded(Tuned), data, num_samples=20, checkpoint=file)
    assert torch.equal(again, votes)


@pytest.mark.parametrize(
    "forward", [slightly, first_on(0), first_on(7)], ids=["slightly", "row_0", "row_7"]
)
def test_another_forward_does_not_resume(forward: Any, tmp_path: Path) -> None:
    data, model, file = make_graph(), seeded(Tuned), tmp_path / "votes.npz"
    votes_of(model, data, num_samples=20, forward=plain, checkpoint=file)
    saved = file.read_bytes()
    refused(lambda: votes_of(model, data, forward=forward, checkpoint=file))
    assert file.read_bytes() == saved


def test_another_function_does_not_resume_even_where_all_votes_agree(tmp_path: Path) -> None:
    """Votes of a sure model are the same on the samples of any check; its logits are not."""

    def sure(bonus: float) -> Any:
        return lambda model, x, data: model(x, data.edge_index) + bonus * torch.eye(C)[0]

    data, model, file = make_graph(), seeded(Linear), tmp_path / "votes.npz"
    votes = votes_of(model, data, num_samples=20, forward=sure(50.0), checkpoint=file)
    assert bool((votes[:, 0] == 20).all())
    refused(lambda: votes_of(model, data, forward=sure(40.0), checkpoint=file))


def test_another_normalize_does_not_resume(tmp_path: Path) -> None:
    images = torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    model = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 36, C)))
    file = tmp_path / "votes.npz"

    def sample(shift: float, num_samples: int) -> Tensor:
        classifier = SmoothedImageClassifier(model, ABLATION, C, normalize=lambda x: x - shift)
        return classifier.sample_votes(images, num_samples, progress=False, checkpoint=file)

    sample(0.5, 20)
    refused(lambda: sample(0.52, 40))


def test_the_fingerprint_does_not_depend_on_the_block_or_the_workers(tmp_path: Path) -> None:
    data, model, file = make_graph(), seeded(Tuned), tmp_path / "votes.npz"
    votes_of(model, data, num_samples=20, block_size=1, checkpoint=file)
    votes = votes_of(model, data, num_workers=2, checkpoint=file)
    assert torch.equal(votes, votes_of(model, data))


class Stateful(Linear):
    """Counts its calls."""

    calls = 0

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x, edge_index) + self.calls


def certify(
    folder: Path,
    model: nn.Module,
    forward: Any = None,
    n0: int = 20,
    n: int = 30,
    **options: Any,
) -> Any:
    """A certificate that keeps its votes in a folder."""
    classifier = SmoothedNodeClassifier(model, ABLATION, C, forward=forward)
    return classifier.certify(
        make_graph(), n0, n, progress=False, checkpoint=folder, num_workers=0, **options
    )


def warmer() -> nn.Module:
    """The model with another temperature."""
    model = seeded(Tuned)
    model.temperature = 1.3
    return model


REFUSED: dict[str, Callable[[Path], object]] = {
    "other_seed": lambda folder: certify(folder, seeded(Tuned), seed=1),
    "more_votes_that_select": lambda folder: certify(folder, seeded(Tuned), n0=40),
    "fewer_votes_that_bound": lambda folder: certify(folder, seeded(Tuned), n0=40, n=20),
    "other_model": lambda folder: certify(folder, warmer()),
    "other_forward": lambda folder: certify(folder, seeded(Tuned), slightly),
    "other_forward_of_more_votes": lambda folder: certify(folder, seeded(Tuned), slightly, n0=40),
    "stateful": lambda folder: certify(folder, seeded(Stateful)),
    "alpha": lambda folder: certify(folder, seeded(Tuned), alpha=0.0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_certify_leaves_the_folder_as_it_was(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = certify(folder, seeded(Tuned))
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    refused(lambda: REFUSED[name](folder))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert np.array_equal(certify(folder, seeded(Tuned)).p_lower, first.p_lower)


def test_a_refused_model_makes_no_folder(tmp_path: Path) -> None:
    refused(lambda: certify(tmp_path / "run", seeded(Stateful)), "calls")
    assert not (tmp_path / "run").exists()


def interrupt(run: Callable[[], object], at: int | None) -> Counter[tuple[str, int]]:
    """Runs, and raises a KeyboardInterrupt at a line of the engine: at the ``at``-th of the lines
    that it passes for the first or second time. Counts how often it passes each.
    """
    passed: Counter[tuple[str, int]] = Counter()
    numbered = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal numbered
        if "pyg_hiersmooth/sampling" not in frame.f_code.co_filename.replace("\\", "/"):
            return None
        if event == "line":
            place = (frame.f_code.co_filename, frame.f_lineno)
            passed[place] += 1
            if passed[place] <= 2:
                numbered += 1
                if numbered - 1 == at:
                    sys.settrace(None)
                    raise KeyboardInterrupt
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(previous)
    return passed


@pytest.mark.slow
def test_an_interruption_at_any_line_of_the_engine_can_be_resumed(tmp_path: Path) -> None:
    data, model = make_graph(8), seeded(Linear)
    expected = votes_of(model, data, num_samples=24)

    def run(file: Path) -> Tensor:
        return votes_of(model, data, num_samples=24, block_size=4, checkpoint=file)

    passed = interrupt(lambda: run(tmp_path / "all.npz"), None)
    places = sum(min(count, 2) for count in passed.values())
    assert places > 50
    broken = []
    for at in range(places):
        file = tmp_path / f"{at}.npz"
        with contextlib.suppress(KeyboardInterrupt):
            interrupt(lambda file=file: run(file), at)
        try:
            assert torch.equal(run(file), expected)
        except (ValueError, AssertionError) as error:
            broken.append((at, str(error)))
    assert not broken, f"{len(broken)} of {places} interruptions cannot be resumed: {broken[:2]}"


def test_every_damage_to_a_file_of_votes_is_one_sentence(tmp_path: Path) -> None:
    data, model, file = make_graph(6), seeded(Linear), tmp_path / "votes.npz"
    votes = votes_of(model, data, num_samples=20, checkpoint=file)
    whole = file.read_bytes()
    unlike: Counter[str] = Counter()
    for bit in range(0, 8 * len(whole), 5):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        file.write_bytes(damaged)
        try:
            read, done, _ = read_votes(file)
        except ValueError as error:
            assert_refusal(error, file.name)
        except Exception as error:  # counted, so that all kinds are seen at once
            unlike[type(error).__name__] += 1
        else:
            if not (torch.equal(read, votes) and done == 20):
                unlike["other votes"] += 1
    assert not unlike


def test_a_file_that_was_cut_is_one_sentence(tmp_path: Path) -> None:
    data, model, file = make_graph(6), seeded(Linear), tmp_path / "votes.npz"
    votes_of(model, data, num_samples=20, checkpoint=file)
    whole = file.read_bytes()
    for size in range(0, len(whole), 13):
        file.write_bytes(whole[:size])
        refused(lambda: read_votes(file), file.name)
    file.write_bytes(whole[: len(whole) // 2])
    refused(lambda: votes_of(model, data, num_samples=SAMPLES, checkpoint=file), file.name)


def test_votes_that_were_edited_are_refused(tmp_path: Path) -> None:
    """Votes that still add up, moved from one class to another."""
    data, model, file = make_graph(6), seeded(Linear), tmp_path / "votes.npz"
    votes_of(model, data, num_samples=20, checkpoint=file)
    with np.load(file, allow_pickle=False) as archive:
        arrays = dict(archive)
    (name,) = (key for key, value in arrays.items() if value.shape == (6, C))
    arrays[name] = np.roll(arrays[name], 1, axis=1)
    np.savez_compressed(file, **arrays)
    refused(lambda: votes_of(model, data, num_samples=SAMPLES, checkpoint=file), file.name)
