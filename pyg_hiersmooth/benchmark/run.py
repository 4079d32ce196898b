r"""One run of a benchmark."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pyg_hiersmooth.benchmark.methods import Method
from pyg_hiersmooth.cli.settings import Settings


@dataclass(frozen=True)
class Run:
    r"""A dataset, a model and a method, with everything that decides the outcome.

    Attributes:
        dataset (str): A name that :func:`~pyg_hiersmooth.datasets.load_dataset` takes.
        model (str): A key of :obj:`~pyg_hiersmooth.models.MODELS`, or ``module:Class``.
        method (Method): How it is smoothed.
        seed (int): Seed of split, model, training and samples.
        n0 (int): Samples that select the class of a node.
        n (int): Samples that bound its probability.
        alpha (float): Probability that the certificate of a node is wrong.
        part (str): The parts of the split that are certified.
        max_epochs (int): Most epochs of training.
        patience (int): Epochs without improvement that end training.
        lr (float): Learning rate.
    """

    dataset: str
    model: str
    method: Method
    seed: int
    n0: int = 1_000
    n: int = 10_000
    alpha: float = 0.01
    part: str = "test"
    max_epochs: int = 1_000
    patience: int = 50
    lr: float = 1e-3

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Run:
        r"""The run that :func:`dataclasses.asdict` took apart."""
        return cls(**{**content, "method": Method(**content["method"])})

    @property
    def name(self) -> str:
        r"""A file name: what tells the runs of one benchmark apart."""
        return f"{self.dataset}-{self.model.replace(':', '.')}-{self.method.slug}-seed{self.seed}"

    @property
    def num_samples(self) -> int:
        r"""Number of samples that it takes."""
        return 0 if self.method.noise is None else self.n0 + self.n

    def settings(self, root: str, device: str) -> Settings:
        r"""The options of ``hiersmooth certify`` that do the same with a smoothed method."""
        options: dict[str, Any] = asdict(self) | asdict(self.method)
        del options["method"], options["name"]
        return Settings(
            **options,
            root=root,
            device=device,
            num_workers=None if device == "cuda" else 0,
            scale=None,
            indicator=self.method.indicator,
            kind="multiclass",
            simultaneous=False,
            checkpoint=None,
        )
