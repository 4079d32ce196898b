from __future__ import annotations

import inspect
import subprocess
import sys

from pyg_hiersmooth.noise import NOISE_KINDS, NOISES


def test_kinds_are_what_the_noises_say_of_themselves() -> None:
    assert list(NOISE_KINDS) == list(NOISES)
    for name, kind in NOISE_KINDS.items():
        noise = NOISES[name]
        assert (noise.name, noise.axes, noise.parameters, noise.deterministic) == kind
        assert set(kind.defaults) == set(inspect.signature(noise).parameters) - {"token", "of"}
        for parameter, value in kind.defaults.items():
            assert getattr(noise.default(), parameter) == value


def test_distances_are_multiples_of_a_parameter() -> None:
    units = {
        name: kind.unit for name, kind in NOISE_KINDS.items() if name in ("gaussian", "laplace")
    }
    assert units == {"gaussian": "std", "laplace": "scale"}
    for name, unit in units.items():
        assert NOISES[name](0.5).unit == getattr(NOISES[name](0.5), unit) == 0.5  # type: ignore[call-arg]


def test_kinds_are_read_without_pytorch_and_the_noises_all_at_once() -> None:
    code = (
        "import sys, pyg_hiersmooth.noise.kinds; assert 'torch' not in sys.modules\n"
        "from pyg_hiersmooth.noise import Noise; from pyg_hiersmooth.serialization import "
        "noise_from_dict; print(noise_from_dict({'class': 'UniformNoise', 'scale': 2.0}))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout == "UniformNoise(scale=2.0)\n"
