r"""Lower-level noise: one file a distribution, its sampler and its worst case side by side."""

from pyg_hiersmooth.noise.ablation import AblationNoise
from pyg_hiersmooth.noise.base import AdditiveNoise, Noise
from pyg_hiersmooth.noise.flips import SparseFlipNoise
from pyg_hiersmooth.noise.gaussian import GaussianNoise
from pyg_hiersmooth.noise.laplace import LaplaceNoise
from pyg_hiersmooth.noise.uniform import UniformNoise

__all__ = [
    "AblationNoise",
    "AdditiveNoise",
    "GaussianNoise",
    "LaplaceNoise",
    "Noise",
    "SparseFlipNoise",
    "UniformNoise",
]
