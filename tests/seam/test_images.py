"""Row 8: one image's votes do not depend on its companions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pyg_hiersmooth.nn import SmoothedImageClassifier
from pyg_hiersmooth.nn.calls.image_forward import as_pixels
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .small import SAMPLES, C, seeded
from .verdict import assert_votes, refused, right_or_refused

B, SIDE = 5, 6
TRANSFORM = HierarchicalNodeFeatureNoise(0.6, AblationNoise())


def make_images() -> Tensor:
    """Images of unlike brightness and contrast."""
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([0.2, 1.0, 3.0, 0.5, 8.0]).view(B, 1, 1, 1)
    return scale * torch.rand(B, 2, SIDE, SIDE, generator=generator)


def plain_image_votes(model: nn.Module, images: Tensor, normalize: Any = None) -> Tensor:
    """Votes by a plain loop, one image at a time."""
    sizes = [SIDE * SIDE] * len(images)
    draw = TRANSFORM.prepare(as_pixels(images), sizes)
    votes = torch.zeros(len(images), C, dtype=torch.long)
    for sample in range(SAMPLES):
        noisy = draw(RandomStream(0, 0, sample)).view(-1, SIDE, SIDE, 3).permute(0, 3, 1, 2)
        for i, image in enumerate(noisy):
            channels, indicator = image[None, :-1], image[None, -1:]
            if normalize is not None:
                channels = normalize(channels)
            with torch.no_grad():
                logits = model(torch.cat([channels, indicator], dim=1))
            votes[i, int(logits.argmax())] += 1
    return votes


def image_votes(model: nn.Module, images: Tensor, normalize: Any = None, **options: Any) -> Tensor:
    """Votes by the engine."""
    classifier = SmoothedImageClassifier(model, TRANSFORM, C, normalize=normalize)
    return classifier.sample_votes(images, SAMPLES, progress=False, **{"num_workers": 0, **options})


class Net(nn.Module):
    """A small convolutional network with a norm."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), norm, nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, C)
        )
        nn.init.normal_(self.layers[-1].weight)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


def by_the_batch(images: Tensor) -> Tensor:
    """Standardises by the mean and deviation of everything it is given."""
    return (images - images.mean()) / images.std()


def by_the_channel(images: Tensor) -> Tensor:
    """The same for each channel, over all images."""
    return images - images.mean((0, 2, 3), keepdim=True)


def by_the_first(images: Tensor) -> Tensor:
    """Relative to the first image."""
    return images / (1e-3 + images[:1].amax((1, 2, 3), keepdim=True))


def slightly_by_the_batch(images: Tensor) -> Tensor:
    """A tiny influence of the companions, under large values, to which the model is sensitive."""
    return 100 + 1e-3 * (images - images.mean())


class Sensitive(Net):
    """Looks at small differences of large values."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(torch.cat([1e3 * (images[:, :2] - 100), images[:, 2:]], dim=1))


@pytest.mark.parametrize("block_size", [None, 1])
@pytest.mark.parametrize(
    "normalize", [by_the_batch, by_the_channel, by_the_first], ids=lambda f: f.__name__
)
def test_normalize_sees_one_image_at_a_time(
    normalize: Callable[[Tensor], Tensor], block_size: int | None
) -> None:
    images, model = make_images(), seeded(Net, nn.Identity())
    votes = image_votes(model, images, normalize, block_size=block_size)
    assert_votes(votes, plain_image_votes(model, images, normalize))
    # Ablation draws nothing but the selection, and that of the first image comes first.
    assert torch.equal(image_votes(model, images[:1], normalize)[0], votes[0])


def test_a_slight_influence_of_the_companions_counts() -> None:
    images, model = make_images(), seeded(Sensitive, nn.Identity())
    votes = image_votes(model, images, slightly_by_the_batch)
    assert_votes(votes, plain_image_votes(model, images, slightly_by_the_batch))


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm2d(4),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.GroupNorm(2, 4),
        nn.LayerNorm([4, SIDE, SIDE]),
        nn.InstanceNorm2d(4),
        nn.InstanceNorm2d(4, track_running_stats=True),
        nn.LocalResponseNorm(2),
        nn.Dropout2d(0.5),
        nn.Dropout(0.5),
        nn.AlphaDropout(0.5),
    ],
    ids=lambda norm: str(norm).split(",")[0] + ("" if getattr(norm, "track", True) else "_free"),
)
def test_norms_of_image_models(norm: nn.Module) -> None:
    images, model = make_images(), seeded(Net, norm)
    truth = plain_image_votes(model, images)
    assert_votes(image_votes(model, images), truth)
    assert_votes(image_votes(model, images, num_workers=2), truth)


def test_a_normalize_that_learns_is_refused_or_does_not_learn() -> None:
    class Running:
        def __init__(self) -> None:
            self.mean, self.calls = torch.zeros(()), 0

        def __call__(self, images: Tensor) -> Tensor:
            self.calls += 1
            self.mean = 0.8 * self.mean + 0.2 * images.mean()
            return images - self.mean

    normalize = Running()
    refused(lambda: image_votes(seeded(Net, nn.Identity()), make_images(), normalize), "normalize",
            "mean", "calls")  # fmt: skip


def test_a_normalize_that_is_random_is_a_function_of_the_sample() -> None:
    def jitter(images: Tensor) -> Tensor:
        return images * torch.rand(1)

    images, model = make_images(), seeded(Net, nn.Identity())
    votes = image_votes(model, images, jitter)
    torch.manual_seed(7)
    assert torch.equal(image_votes(model, images, jitter, block_size=1), votes)
    assert torch.equal(image_votes(model, images, jitter, num_workers=2), votes)


def test_a_normalize_in_place_changes_nothing_else() -> None:
    def in_place(images: Tensor) -> Tensor:
        return images.sub_(0.5).div_(0.2)

    images, model = make_images(), seeded(Net, nn.Identity())
    before = images.clone()
    truth = plain_image_votes(model, images, lambda x: (x - 0.5) / 0.2)
    right_or_refused(lambda: image_votes(model, images, in_place), truth, "normalize")
    assert torch.equal(images, before)


def test_images_that_do_not_reach_the_model_are_refused() -> None:
    clean = make_images()

    def replace(images: Tensor) -> Tensor:
        return clean[:1].expand_as(images)

    class WithoutIndicator(Net):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(torch.cat([images[:, :2], 0 * images[:, 2:]], dim=1))

    with pytest.raises(ValueError, match=r"does not depend on the noisy feat|holds the clean feat"):
        image_votes(seeded(WithoutIndicator, nn.Identity()), clean, replace)
    with pytest.raises(ValueError, match=r"does not depend on the noisy feat|holds the clean feat"):
        image_votes(seeded(Net, nn.Identity()), clean, replace)
