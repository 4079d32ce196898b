r"""The methods that a study compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from pyg_hiersmooth.experiment.setting_parts import EdgesSettings, SmoothingSettings, taken

HIERARCHICAL_FLIPS = "hierarchical flips"
FLAT_FLIPS = "flat flips"
ABLATION = "node ablation"
EXACT_ABLATION = "exact node ablation"
HIERARCHICAL_GAUSSIAN = "hierarchical Gaussian"
FLAT_GAUSSIAN = "flat Gaussian"
UNPROTECTED = "unprotected"
EXACT_MESSAGES = "exact message ablation"
EDGES = "edge ablation"
EXACT_EDGES = "exact edge ablation"


OF_PAIRS = ("edges_p", "edges_groups", "edges_partitions")
r"""The settings of ablated edges."""


@dataclass(frozen=True)
class Method:
    r"""A way to smooth a classifier, or not to.

    Attributes:
        name (str): What it is called in tables.
        smoothing (SmoothingSettings): The smoothing of nodes; its noise ``"none"`` leaves them as
            they are.
        normalize_features (bool): As in
            :class:`~pyg_hiersmooth.experiment.setting_parts.DataSettings`.
        pairs (EdgesSettings or None): The ablation of edges, instead of noise on nodes.
    """

    name: str
    smoothing: SmoothingSettings
    normalize_features: bool = False
    pairs: EdgesSettings | None = None

    @classmethod
    def of(cls, name: str, noise: str | None = None, **options: Any) -> Method:
        r"""A method of these settings. Where neither :obj:`p` nor :obj:`groups` is among them,
        every node is selected, and no indicator says so.
        """
        given = {setting: value for setting, value in options.items() if value is not None}
        normalize = given.pop("normalize_features", False)
        pairs = taken(EdgesSettings, given)
        if "edges" in pairs:
            if (noise or "none", pairs["edges"]) != ("none", "ablation"):
                raise ValueError(
                    "'edges' of a study must be ablation, without noise on nodes (got "
                    f"{pairs['edges']} and {noise})"
                )
            untouched = SmoothingSettings("none", indicator=False)
            return cls(name, untouched, normalize, EdgesSettings(**pairs))
        if noise in (None, "none"):
            if given.get("p") == 1.0:  # in results of before
                del given["p"]
            given["indicator"] = False
        elif "groups" in given:
            given["selection"] = "partition"
        elif given.setdefault("p", 1.0) == 1.0:
            given["indicator"] = False
        return cls(name, SmoothingSettings(noise or "none", **given), normalize)

    @property
    def options(self) -> dict[str, Any]:
        r"""The settings by name, as :meth:`of` takes them."""
        options = {"name": self.name, **asdict(self.smoothing)}
        del options["selection"], options["indicator"]
        options |= {"normalize_features": self.normalize_features}
        if self.pairs is None:
            return options
        return {
            "name": self.name,
            "normalize_features": self.normalize_features,
            **{name: each for name, each in asdict(self.pairs).items() if each is not None},
        }

    def having(self, **options: Any) -> Method:
        r"""The method with other settings of its smoothing."""
        pairs = self.pairs and replace(self.pairs, **taken(EdgesSettings, options))
        return replace(self, smoothing=replace(self.smoothing, **options), pairs=pairs)

    @property
    def noise(self) -> str:
        r"""The kind of noise, or ``"none"``."""
        return self.smoothing.noise if self.pairs is None else self.pairs.edges

    @property
    def changes(self) -> str:
        r"""What its adversary changes: ``"features"`` of nodes, nodes with their ``"messages"``, or
        ``"edges"``.
        """
        return "edges" if self.pairs is not None else self.smoothing.ablate or "features"

    @property
    def title(self) -> str:
        r"""The name and the settings."""
        given = {} if self.smoothing.noise == "none" else self.smoothing.own("selection")
        given |= self.smoothing.own("noise")
        if self.pairs is not None:
            own = {name: getattr(self.pairs, name) for name in OF_PAIRS}
            given |= {name: value for name, value in own.items() if value is not None}
        ablated = given.pop("ablate", "features")
        words = [self.name, *(f"{name}={value:g}" for name, value in given.items())]
        words += [] if ablated == "features" else [f"ablated {ablated}"]
        return ", ".join([*words, "normalized features"] if self.normalize_features else words)

    @property
    def slug(self) -> str:
        r"""The title as part of the name of a file."""
        return self.title.replace(", ", "-").replace(" ", "-").replace("=", "")

    def has(self, setting: str) -> bool:
        r"""Whether the method has a setting that is not fixed by what it is."""
        fixed = setting == "p" and self.selects_all
        owner = self.pairs if setting in OF_PAIRS else self.smoothing
        return not fixed and getattr(owner, setting, None) is not None

    @property
    def selects_all(self) -> bool:
        r"""Whether every node is selected."""
        return self.smoothing.p == 1.0

    @property
    def num_outcomes(self) -> int | None:
        r"""How many outcomes an exact certificate lists; :obj:`None` where they are sampled."""
        pairs, nodes = self.pairs, self.smoothing
        if not (nodes if pairs is None else pairs).exact:
            return None
        if pairs is not None:
            return (pairs.edges_groups or 0) * (pairs.edges_partitions or 0)
        return (nodes.groups or 0) * (nodes.partitions or 0)


METHODS = {
    method.name: method
    for method in (
        Method.of(HIERARCHICAL_FLIPS, "flips", p=0.81),
        Method.of(FLAT_FLIPS, "flips"),
        Method.of(ABLATION, "ablation", p=0.81),
        Method.of(EXACT_ABLATION, "ablation", groups=10),
        Method.of(HIERARCHICAL_GAUSSIAN, "gaussian", p=0.81),
        Method.of(FLAT_GAUSSIAN, "gaussian"),
        Method.of(UNPROTECTED),
        Method.of(EXACT_MESSAGES, "ablation", groups=20, ablate="messages"),
        Method.of(EDGES, edges="ablation"),
        Method.of(EXACT_EDGES, edges="ablation", edges_groups=20),
    )
}
r"""The methods by name, with the settings of the reference where it has them."""


def random_methods(num: int, seed: int = 0) -> list[Method]:
    r"""Random settings of hierarchical flips, flat flips and ablation, :obj:`num` different
    ones of each.

    Drawn uniformly: :obj:`p` from 0.65 to 0.98 and :obj:`p_minus` from 0.3 to 0.95;
    :obj:`p_plus` log-uniformly from 0.0002 to 0.1.
    """
    rng = np.random.default_rng(seed)

    def p() -> float:
        return round(float(rng.uniform(0.65, 0.98)), 3)

    def p_plus() -> float:
        return float(f"{np.exp(rng.uniform(np.log(2e-4), np.log(0.1))):.2g}")

    def p_minus() -> float:
        return round(float(rng.uniform(0.3, 0.95)), 3)

    draws: list[Callable[[], Method]] = [
        lambda: Method.of(HIERARCHICAL_FLIPS, "flips", p=p(), p_plus=p_plus(), p_minus=p_minus()),
        lambda: Method.of(FLAT_FLIPS, "flips", p_plus=p_plus(), p_minus=p_minus()),
        lambda: Method.of(ABLATION, "ablation", p=p()),
    ]
    return [method for draw in draws for method in _distinct(draw, num)]


def _distinct(draw: Callable[[], Method], num: int) -> list[Method]:
    methods: dict[Method, None] = {}
    while len(methods) < num:
        methods[draw()] = None
    return list(methods)
