r"""All noises of the package."""

from pyg_hiersmooth.noise.ablation import AblationNoise
from pyg_hiersmooth.noise.axes import L1_DISTANCE, L2_DISTANCE, Axis
from pyg_hiersmooth.noise.base import AdditiveNoise, Noise
from pyg_hiersmooth.noise.flips import SparseFlipNoise
from pyg_hiersmooth.noise.gaussian import GaussianNoise
from pyg_hiersmooth.noise.kinds import NOISE_KINDS, NoiseKind
from pyg_hiersmooth.noise.laplace import LaplaceNoise
from pyg_hiersmooth.noise.parameter import Interval, Parameter, SearchRange
from pyg_hiersmooth.noise.uniform import UniformNoise

NOISES: dict[str, type[Noise]] = {
    kind.name: kind
    for kind in (SparseFlipNoise, GaussianNoise, AblationNoise, LaplaceNoise, UniformNoise)
}
r"""The noises by the names that the command line gives them."""

__all__ = [
    "L1_DISTANCE",
    "L2_DISTANCE",
    "NOISES",
    "NOISE_KINDS",
    "AblationNoise",
    "AdditiveNoise",
    "Axis",
    "GaussianNoise",
    "Interval",
    "LaplaceNoise",
    "Noise",
    "NoiseKind",
    "Parameter",
    "SearchRange",
    "SparseFlipNoise",
    "UniformNoise",
]
