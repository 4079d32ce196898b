r"""What a run leaves on disk."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch_geometric
from torch import Tensor

from pyg_hiersmooth import __version__
from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.experiment.setting_parts import OF_SELECTION
from pyg_hiersmooth.experiment.settings import Settings
from pyg_hiersmooth.experiment.summary import Summary
from pyg_hiersmooth.files import replace_atomically
from pyg_hiersmooth.sampling.checkpoint import read_votes

FORMAT = "pyg_hiersmooth run 1"

IN_ALL = {"dataset", "model", "noise", "seed"}
r"""Settings that the folders of all versions contain; others may be newer than a folder."""


class RunFolder:
    r"""The folder of one run: its settings from the start, then the labels, the model, the votes as
    they arrive, and at the end the certificate, a summary and perhaps a plot.

    Args:
        path (str or os.PathLike): The folder, which need not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.settings = self.path / "settings.json"
        self.labels = self.path / "labels.npz"
        self.model = self.path / "model.pt"
        self.pre_votes = self.path / "pre_votes.npz"
        self.votes = self.path / "votes.npz"
        self.certificate = self.path / "certificate.npz"
        self.results = self.path / "results.json"
        self.plot = self.path / "certified_accuracy.png"
        self.collective_plot = self.path / "collective_accuracy.png"
        self.calibration = self.path / "calibration"
        self.sets = self.path / "prediction_sets.npz"
        self.sets_plot = self.path / "prediction_sets.png"
        self.attack = self.path / "attack.json"
        self.contradiction = self.path / "contradiction.npz"

    def __str__(self) -> str:
        return str(self.path)

    def check_free(self) -> None:
        r"""Checks that a new run would overwrite nothing.

        Raises:
            ValueError: If the folder holds files that a run would overwrite.
        """
        for file in vars(self).values():
            if file != self.path and file.exists():
                raise ValueError(f"'{self}' holds '{file.name}' already: choose another folder")

    @property
    def state(self) -> str:
        r"""The progress of the run in the folder."""
        return "a finished run" if self.results.exists() else "an unfinished run"

    def create(self, settings: Settings, labels: Tensor) -> None:
        r"""Makes the folder of a new run.

        Raises:
            OSError: If the folder cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with replace_atomically(self.labels) as file:
                np.savez_compressed(file, labels=labels.numpy())
            content = {"format": FORMAT, "options": settings.options, "versions": versions()}
            _write_json(self.settings, content)
        except OSError as error:
            raise OSError(
                f"'{self}' must be a folder that can be written: {error.strerror or error}"
            ) from error

    def read_settings(self) -> Settings:
        r"""The settings that the run was started with.

        Raises:
            ValueError: If there is no run, or its settings are damaged.
            OSError: If they cannot be read.
        """
        if not self.settings.is_file():
            raise ValueError(f"'{self}' holds no run: there is no '{self.settings.name}' in it")
        try:
            content = json.loads(self.settings.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"unknown format {content['format']!r}")
            options = content["options"]
            if not options.keys() >= IN_ALL:
                raise ValueError(f"missing settings {', '.join(sorted(IN_ALL - options.keys()))}")
            if options["noise"] == "none":  # older folders kept how nothing was selected
                options = {name: options[name] for name in options if name not in OF_SELECTION}
            return Settings.of(**options)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"'{self.settings}' is damaged: {error}") from error

    def read_votes(self) -> tuple[np.ndarray, np.ndarray]:
        r"""The votes that select and those that bound, int64 ``[M, C]`` each.

        Raises:
            ValueError: If a file is damaged.
            OSError: If one is missing.
        """
        return read_votes(self.pre_votes)[0].numpy(), read_votes(self.votes)[0].numpy()

    def read_certificate(self) -> Certificate:
        r"""The certificate of a finished run with noise.

        Raises:
            ValueError: If the run is not finished, or the file is damaged.
            OSError: If it cannot be read.
        """
        if not self.certificate.is_file():
            raise self.unfinished()
        return Certificate.load(self.certificate)

    def unfinished(self) -> ValueError:
        r"""The error of who needs a finished run."""
        return ValueError(
            f"the run in '{self}' is not finished: continue it with 'hiersmooth certify --resume "
            f"{self}'"
        )

    def read_labels(self) -> np.ndarray:
        r"""The labels of the certified nodes, int64 ``[M]``.

        Raises:
            ValueError: If the file is missing or damaged.
        """
        try:
            with np.load(self.labels, allow_pickle=False) as file:
                return file["labels"]
        except Exception as error:  # damage shows anywhere in zipfile, zlib or NumPy
            raise ValueError(f"'{self.labels}' holds no labels: {error}") from error

    def save_model(self, model: torch.nn.Module) -> None:
        r"""Keeps the weights of the model, and nothing but them."""
        with replace_atomically(self.model) as file:
            torch.save(model.state_dict(), file)

    def num_samples(self) -> int:
        r"""The number of samples that were drawn so far."""
        return sum(read_votes(file)[1] for file in (self.pre_votes, self.votes) if file.exists())

    def read_outcomes(self) -> np.ndarray:
        r"""The votes of all outcomes of an exact run, int64 ``[M, C]``; raises as
        :meth:`read_votes`.
        """
        return read_votes(self.votes)[0].numpy()

    def read_summary(self) -> Summary | None:
        r"""What came out; :obj:`None` if that is not there, or cannot be read."""
        try:
            return Summary.from_dict(json.loads(self.results.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def save_summary(self, summary: Summary) -> None:
        r"""Keeps what came out."""
        _write_json(self.results, asdict(summary))


def versions() -> dict[str, str]:
    r"""The libraries that decide the outcome of a run, and their versions."""
    return {
        "pyg_hiersmooth": __version__,
        "torch": str(torch.__version__),
        "torch_geometric": torch_geometric.__version__,
        "numpy": np.__version__,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with replace_atomically(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())
