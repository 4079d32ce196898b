from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("bokeh")

from pyg_hiersmooth.experiment import Experiment, Settings

QUICK = {"max_epochs": 10, "patience": 10, "num_workers": 0}


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One finished run of each sort."""
    folder = tmp_path_factory.mktemp("runs")
    few = {"n0": 10, "n": 60, **QUICK}
    settings = {
        "flips": Settings.of(noise="flips", p=0.9, p_plus=0.001, lr=1e-2, **few),  # type: ignore
        "exact": Settings.of(
            noise="ablation",
            selection="partition",
            collective=True,
            method="lp",
            sets=0.8,
            calibration=50,
            lr=1e-2,
            **QUICK,
        ),  # type: ignore
        "none": Settings.of(noise="none", **QUICK),  # type: ignore
        "graphs": Settings.of(
            dataset="RandomMolecules", task="graph", model="gin", noise="gaussian", **few
        ),  # type: ignore
    }
    for name, each in settings.items():
        Experiment(each, folder / name).run(progress=False)
    return {name: folder / name for name in settings}
