r"""Sets the seed, builds, trains and certifies in a folder that keeps everything, and continues
after a stop.

.. code-block:: python

    from pyg_hiersmooth.experiment import Experiment, Settings

    outcome = Experiment(Settings.of(model="gat", p_plus=0.01), "runs/gat").run()
    print(outcome.certificate.certified_accuracy(outcome.labels, r=1, deletions=5))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyg_hiersmooth.experiment.settings import Settings, differences

if TYPE_CHECKING:
    from pyg_hiersmooth.experiment.experiment import Experiment, Outcome
    from pyg_hiersmooth.experiment.run_folder import RunFolder
    from pyg_hiersmooth.experiment.summary import Summary

__all__ = ["Experiment", "Outcome", "RunFolder", "Settings", "Summary", "differences"]

_MODULES = {"RunFolder": "run_folder", "Summary": "summary"}


def __getattr__(name: str) -> Any:
    # The command line shows its help from the settings alone, without waiting for PyTorch.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'experiment')}"), name)
