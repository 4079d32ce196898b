r"""Certificates on disk: NumPy ``.npz`` files of arrays and settings, nothing pickled."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from pyg_hiersmooth.certificates.certified_votes import CertifiedVotes
from pyg_hiersmooth.files import replace_atomically
from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.selection import Selection
from pyg_hiersmooth.serialization import noise_from_dict, selection_from_dict, to_dict

Loaded = TypeVar("Loaded", bound=CertifiedVotes)

FORMAT = "pyg_hiersmooth certificate 1"


@dataclass
class StoredSmoothing:
    r"""The selection and the noise that a file names."""

    selection: Selection
    noise: Noise


def save(certificate: CertifiedVotes, path: str | os.PathLike[str]) -> None:
    r"""Writes a certificate, all of it or nothing."""
    settings = {
        "format": FORMAT,
        "selection": to_dict(certificate.selection),
        "noise": to_dict(certificate.noise),
        "kind": certificate.kind,
        "num_features": certificate.num_features,
        "simultaneous": certificate.simultaneous,
        "alpha": certificate.alpha,
        "n0": certificate.n0,
    }
    arrays = {
        name: getattr(certificate, name) for name in ("prediction", "p_lower", "p_upper", "index")
    }
    for name in ("num_entities", "largest_r", "num_samples"):
        if getattr(certificate, name) is not None:
            arrays[name] = getattr(certificate, name)
    with replace_atomically(path) as file:
        np.savez_compressed(file, settings=np.array(json.dumps(settings)), **arrays)


def load(result: type[Loaded], path: str | os.PathLike[str]) -> Loaded:
    r"""Reads what :func:`save` wrote, and checks it like any other bounds.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a certificate, or is damaged.
    """
    content = Path(path).read_bytes()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            settings = json.loads(str(file["settings"]))
            arrays = {name: file[name] for name in file.files if name != "settings"}
        if settings["format"] != FORMAT:
            raise ValueError(f"unknown format {settings['format']!r}")
        return result.from_bounds(
            StoredSmoothing(
                selection_from_dict(settings["selection"]), noise_from_dict(settings["noise"])
            ),
            kind=settings["kind"],
            num_features=settings["num_features"],
            simultaneous=settings.get("simultaneous", False),
            alpha=settings.get("alpha"),
            n0=settings.get("n0"),
            **arrays,
        )
    except Exception as error:  # damage shows anywhere in zipfile, zlib, NumPy or JSON
        raise ValueError(f"'{path}' is not a certificate of pyg_hiersmooth: {error}") from error
