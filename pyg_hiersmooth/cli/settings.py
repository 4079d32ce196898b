r"""What a run was asked to do."""

from __future__ import annotations

from dataclasses import dataclass

NOISE_SETTINGS: dict[str, tuple[str, ...]] = {
    "flips": ("p_plus", "p_minus"),
    "gaussian": ("std",),
    "ablation": (),
    "laplace": ("scale",),
    "uniform": ("scale",),
}
r"""The noises, and which settings belong to each."""

TRAINING = ("max_epochs", "patience", "lr")
r"""Settings of training, which do not apply to weights that are loaded."""


@dataclass(frozen=True)
class Settings:
    r"""The options of ``hiersmooth certify`` that describe a run, :obj:`None` where one does not
    apply to it.
    """

    dataset: str
    root: str
    model: str
    noise: str
    p: float
    p_plus: float | None
    p_minus: float | None
    std: float | None
    scale: float | None
    indicator: bool
    n0: int
    n: int
    alpha: float
    kind: str
    simultaneous: bool
    seed: int
    max_epochs: int | None
    patience: int | None
    lr: float | None
    checkpoint: str | None
    num_workers: int | None
    device: str | None
    task: str = "node"
    part: str = "test"

    @property
    def parts(self) -> list[str]:
        r"""The parts of the split that are certified, in order."""
        return self.part.split("+")

    def __post_init__(self) -> None:
        if self.noise not in NOISE_SETTINGS:
            raise ValueError(
                f"'noise' must be one of {', '.join(NOISE_SETTINGS)} (got {self.noise!r})"
            )

    @property
    def title(self) -> str:
        r"""What is certified."""
        return f"{self.dataset}, {self.model}"

    def idle(self) -> dict[str, str]:
        r"""The settings that would do nothing in this run, each with the option that is why."""
        idle = {
            name: f"--noise {self.noise}"
            for names in NOISE_SETTINGS.values()
            for name in names
            if name not in NOISE_SETTINGS[self.noise]
        }
        if self.checkpoint is not None:
            idle |= dict.fromkeys(TRAINING, "--checkpoint")
        if self.device == "cuda":
            idle["num_workers"] = "--device cuda"
        return idle


def flag(name: str) -> str:
    r"""The command line option of a setting."""
    return "--" + name.replace("_", "-")
