r"""The settings of an experiment, of whichever part."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from pyg_hiersmooth.choices import EdgesNoise, Kind, check_choice
from pyg_hiersmooth.experiment.setting_parts import (
    TASK_DEFAULTS,
    CollectiveSettings,
    DataSettings,
    EdgesSettings,
    SamplingSettings,
    SetsSettings,
    SmoothingSettings,
    TrainingSettings,
    check_idle,
    names,
    taken,
)


@dataclass(frozen=True)
class Settings:
    r"""Everything that determines an experiment; :meth:`of` makes it from single settings.

    Attributes:
        data (DataSettings): What is classified, and by which model.
        smoothing (SmoothingSettings): The noise of nodes, and where it acts.
        pairs (EdgesSettings or None): The noise on edges; :obj:`None` if they get none.
        training (TrainingSettings or None): How it is trained; :obj:`None` with a checkpoint.
        sampling (SamplingSettings or None): What certificates are made of; :obj:`None` where they
            are exact.
        collective (CollectiveSettings or None): How to bound the number of nodes that a single
            attack can change; :obj:`None` if it is not bounded.
        prediction_sets (SetsSettings or None): How to make prediction sets; :obj:`None` for none.
        kind (str): ``"multiclass"`` or ``"binary"``.
        seed (int): Seed of the split, the model, its training, the samples and the partitions.
        checkpoint (str or None): Weights to load instead of training.
        num_workers (int or None): Processes that sample on a CPU. (default: one per core)
        device (str or None): ``"cpu"`` or ``"cuda"``. (default: ``"cuda"`` where available)

    Raises:
        ValueError: If the kind is unknown, or :obj:`collective` asks for certificates that hold at
            once and there are none.
    """

    data: DataSettings = field(default_factory=DataSettings)
    smoothing: SmoothingSettings = field(default_factory=SmoothingSettings)
    pairs: EdgesSettings | None = None
    training: TrainingSettings | None = field(default_factory=TrainingSettings)
    sampling: SamplingSettings | None = field(default_factory=SamplingSettings)
    collective: CollectiveSettings | None = None
    prediction_sets: SetsSettings | None = None
    kind: Kind = "multiclass"
    seed: int = 0
    checkpoint: str | None = None
    num_workers: int | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        if self.checkpoint is not None:
            object.__setattr__(self, "checkpoint", os.fspath(self.checkpoint))
        check_choice("kind", self.kind, get_args(Kind))
        if (self.data.task, self.smoothing.ablate) in (("node", "nodes"), ("graph", "messages")):
            raise ValueError(
                f"'ablate' must be features, or messages of 'task' node and nodes of 'task' graph "
                f"(got {self.smoothing.ablate} of {self.data.task})"
            )
        if self.device == "cuda":
            check_idle("num_workers", self.num_workers, "with 'device' cuda")
        if self.pairs is not None:
            self._check_pairs(self.pairs.edges)
        elif self.smoothing.noise == "none":
            sets = self.prediction_sets and self.prediction_sets.sets
            until = self.sampling and self.sampling.until
            asked = {"until": until, "collective": self.collective, "sets": sets}
            for name, value in asked.items():
                check_idle(name, value, "with 'noise' none")
        if self.collective is not None:
            self._check_collective()
        if self.prediction_sets is not None:
            self._check_sets()

    @classmethod
    def of(cls, **options: Any) -> Settings:
        r"""The settings of these names, whichever part they belong to. Those that are left out or
        :obj:`None` take the defaults of their part, and those of the task in its place.

        Args:
            **options: Attributes of this class and of its parts; :obj:`collective` is a bool.

        Raises:
            TypeError: If there is no setting of a name.
            ValueError: If settings do not fit each other, or one would do nothing.
        """
        given = {name: value for name, value in options.items() if value is not None}
        if given.get("edges") == "none":
            del given["edges"]
        left = TASK_DEFAULTS.get(given.get("task", "node"), {})
        left = left | ({"noise": "none"} if "edges" in given else {}) | given

        def part(kind: type[Any], idle: str = "") -> Any:
            own = taken(kind, left)
            for name in own if idle else ():
                check_idle(name, given.get(name), idle)
            return None if idle else kind(**own)

        data, smoothing = part(DataSettings), part(SmoothingSettings)
        pairs = part(EdgesSettings, "" if "edges" in left else "without 'edges'")
        exact = f"with 'selection' partition and 'noise' {smoothing.noise}, which are exact"
        if pairs is not None:
            exact = f"with 'edges_selection' partition and 'edges' {pairs.edges}, which are exact"
        loaded = "with 'checkpoint'" if "checkpoint" in left else ""
        alone = "" if left.pop("collective", False) else "without 'collective'"
        without = "" if "sets" in left else "without 'sets'"
        return cls(
            data,
            smoothing,
            pairs,
            part(TrainingSettings, loaded),
            part(SamplingSettings, exact if _exact(smoothing, pairs) else ""),
            part(CollectiveSettings, alone),
            part(SetsSettings, without),
            **left,
        )

    def having(self, **options: Any) -> Settings:
        r"""These settings with others in their place, as :meth:`of` takes them."""
        return Settings.of(**self.options | options)

    @property
    def options(self) -> dict[str, Any]:
        r"""All settings by name, as :meth:`of` takes them, :obj:`None` where they do not apply."""
        options = {
            name: getattr(getattr(self, part), name, None)
            for part, kind in PARTS.items()
            for name in names(kind)
        }
        options |= {name: getattr(self, name) for name in names(Settings) if name not in PARTS}
        return options | {"collective": self.collective is not None}

    @property
    def exact(self) -> bool:
        r"""Whether certificates are exact: all outcomes of the smoothing are enumerated."""
        return _exact(self.smoothing, self.pairs)

    @property
    def smooths(self) -> bool:
        r"""Whether there is any noise."""
        return self.pairs is not None or self.smoothing.noise != "none"

    @property
    def questions(self) -> list[dict[str, Any]]:
        r"""The questions about each node or graph."""
        return self.sampling.questions if self.sampling else []

    @property
    def title(self) -> str:
        r"""Dataset and model."""
        return self.data.title

    @property
    def name(self) -> str:
        r"""A folder name that distinguishes the runs that one would compare."""
        selection = self.smoothing.selection
        how = "" if selection == "bernoulli" else f"{selection}-"
        of = "" if self.smoothing.ablate in (None, "features") else f"-{self.smoothing.ablate}"
        words = [f"{how}{self.smoothing.noise}{of}"]
        if self.pairs is not None:
            how = "" if self.pairs.edges_selection == "bernoulli" else "partition-"
            nodes = words if self.smoothing.noise != "none" else []
            words = [*nodes, f"edges-{how}{self.pairs.edges}"]
        return "-".join([self.data.slug, *words, f"seed{self.seed}"])

    def _check_pairs(self, edges: EdgesNoise) -> None:
        r"""Checks that there are certificates for noise on edges beside that on nodes."""
        nodes = self.smoothing
        if self.collective is not None:
            raise ValueError(
                "'collective' counts changed nodes, not pairs of them: leave it out (got 'edges' "
                f"{edges})"
            )
        if edges == "flips" and nodes.noise not in ("ablation", "none"):
            raise ValueError(
                "one of two noises may draw, the other must ablate: 'edges' must be ablation with "
                f"'noise' {nodes.noise}, or 'noise' ablation or none (got 'edges' flips)"
            )
        if edges == "flips" and nodes.ablate == "messages":
            raise ValueError(
                "edges that noise adds to selected nodes would carry their messages: 'edges' must "
                "be ablation with 'ablate' messages (got flips)"
            )

    def _check_collective(self) -> None:
        if self.data.task != "node":
            raise ValueError(
                f"'collective' is about the nodes of one graph (got 'task' {self.data.task})"
            )
        if self.sampling is not None and not self.sampling.simultaneous:
            raise ValueError(
                "'collective' needs certificates that hold at once: 'simultaneous', or 'selection' "
                f"partition with 'noise' ablation (got {self.smoothing.selection} with "
                f"{self.smoothing.noise})"
            )

    def _check_sets(self) -> None:
        if self.data.part != "test":
            raise ValueError(
                "'sets' are about 'part' test, which what they are calibrated on is like (got "
                f"'part' {self.data.part})"
            )


PARTS: dict[str, type[Any]] = {
    "data": DataSettings,
    "smoothing": SmoothingSettings,
    "pairs": EdgesSettings,
    "sampling": SamplingSettings,
    "training": TrainingSettings,
    "collective": CollectiveSettings,
    "prediction_sets": SetsSettings,
}
r"""The parts of settings."""

UNIMPORTANT = ("root", "num_workers", "collective", *names(CollectiveSettings))
r"""Settings that do not alter a single vote."""


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    r"""Where two settings of a kind differ, with both values; unimportant ones are not compared.

    Args:
        a (dict): Settings by name.
        b (dict): Other settings.
    """
    return {
        name: (a.get(name), b.get(name))
        for name in {**a, **b}
        if name not in UNIMPORTANT and a.get(name) != b.get(name)
    }


def _exact(nodes: SmoothingSettings, pairs: EdgesSettings | None) -> bool:
    if pairs is None:
        return nodes.exact
    return nodes.noise == "none" and pairs.exact
