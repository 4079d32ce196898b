from __future__ import annotations

import subprocess
import sys

from pyg_hiersmooth import noise
from pyg_hiersmooth.noise import NOISE_KINDS, NOISES, noises


def test_every_kind_has_its_class() -> None:
    assert list(NOISE_KINDS) == list(NOISES)
    for kind in NOISES.values():
        assert kind.default().name == kind.name


def test_all_names_are_found_where_they_are_asked_for() -> None:
    assert dir(noise) == noises.__all__ or set(noises.__all__) <= set(dir(noise))
    assert all(getattr(noise, name) is getattr(noises, name) for name in noises.__all__)


def test_kinds_are_read_without_pytorch() -> None:
    code = "import sys, pyg_hiersmooth.noise.kinds; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
