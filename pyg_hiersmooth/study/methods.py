r"""The methods that a study compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from pyg_hiersmooth.experiment.settings import SmoothingSettings

HIERARCHICAL_FLIPS = "hierarchical flips"
FLAT_FLIPS = "flat flips"
ABLATION = "node ablation"
EXACT_ABLATION = "exact node ablation"
HIERARCHICAL_GAUSSIAN = "hierarchical Gaussian"
FLAT_GAUSSIAN = "flat Gaussian"
UNPROTECTED = "unprotected"


@dataclass(frozen=True)
class Method:
    r"""A way to smooth a classifier, or not to.

    Attributes:
        name (str): What it is called in tables.
        smoothing (SmoothingSettings): The smoothing; its noise ``"none"`` leaves the classifier as
            it is.
        normalize_features (bool): As in :class:`~pyg_hiersmooth.experiment.settings.DataSettings`.
    """

    name: str
    smoothing: SmoothingSettings
    normalize_features: bool = False

    @classmethod
    def of(cls, name: str, noise: str | None = None, **options: Any) -> Method:
        r"""A method of these settings. Where neither :obj:`p` nor :obj:`groups` is among them,
        every node is selected, and no indicator says so.
        """
        given = {setting: value for setting, value in options.items() if value is not None}
        normalize = given.pop("normalize_features", False)
        if "groups" in given:
            given["selection"] = "partition"
        elif given.setdefault("p", 1.0) == 1.0:
            given["indicator"] = False
        return cls(name, SmoothingSettings(noise or "none", **given), normalize)

    @property
    def options(self) -> dict[str, Any]:
        r"""The settings by name, as :meth:`of` takes them."""
        options = {"name": self.name, **asdict(self.smoothing)}
        del options["selection"], options["indicator"]
        return options | {"normalize_features": self.normalize_features}

    def having(self, **options: Any) -> Method:
        r"""The method with other settings of its smoothing."""
        return replace(self, smoothing=replace(self.smoothing, **options))

    @property
    def noise(self) -> str:
        r"""The kind of noise, or ``"none"``."""
        return self.smoothing.noise

    @property
    def title(self) -> str:
        r"""The name and the settings."""
        given = {} if self.noise == "none" else self.smoothing.own("selection")
        given |= self.smoothing.own("noise")
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
        return not fixed and getattr(self.smoothing, setting) is not None

    @property
    def selects_all(self) -> bool:
        r"""Whether every node is selected."""
        return self.smoothing.p == 1.0

    @property
    def num_outcomes(self) -> int | None:
        r"""How many outcomes an exact certificate lists; :obj:`None` where they are sampled."""
        if not self.smoothing.exact:
            return None
        return (self.smoothing.groups or 0) * (self.smoothing.partitions or 0)


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
