r"""Lower-level noise: one file a distribution, its sampler and its worst case side by side."""

from pyg_hiersmooth.noise.ablation import AblationNoise
from pyg_hiersmooth.noise.base import AdditiveNoise, Noise
from pyg_hiersmooth.noise.flips import SparseFlipNoise
from pyg_hiersmooth.noise.gaussian import GaussianNoise
from pyg_hiersmooth.noise.laplace import LaplaceNoise
from pyg_hiersmooth.noise.uniform import UniformNoise

NOISES: dict[str, type[Noise]] = {
    "flips": SparseFlipNoise,
    "gaussian": GaussianNoise,
    "ablation": AblationNoise,
    "laplace": LaplaceNoise,
    "uniform": UniformNoise,
}
r"""The noises by the names that the command line gives them."""

__all__ = [
    "NOISES",
    "AblationNoise",
    "AdditiveNoise",
    "GaussianNoise",
    "LaplaceNoise",
    "Noise",
    "SparseFlipNoise",
    "UniformNoise",
]
