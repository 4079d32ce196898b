from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from pyg_hiersmooth.nn import SmoothedImageClassifier
from pyg_hiersmooth.nn.calls.image_forward import ImageForward, as_pixels
from pyg_hiersmooth.nn.voters import sharded_voter
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.selection import FixedSizeSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

GAUSSIAN = HierarchicalNodeFeatureNoise(0.6, GaussianNoise(0.5))
ABLATION = HierarchicalNodeFeatureNoise(FixedSizeSelection(8), AblationNoise(), False)


def make_images(num_channels: int = 3, num_images: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(num_images, num_channels, 3, 4, generator=generator)


def make_model(num_channels: int) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(num_channels, 6, 2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 4, bias=False)
    )


def votes(
    classifier: SmoothedImageClassifier, images: Tensor, num: int = 60, **options: Any
) -> Any:
    return classifier.sample_votes(images, num, progress=False, num_workers=0, **options)


def test_pixels_and_back() -> None:
    images = make_images()
    pixels = as_pixels(images)
    assert torch.equal(pixels[5], images[0, :, 1, 1])
    assert torch.equal(ImageForward(5, (3, 4), None, False)(nn.Identity(), pixels, 1, 0), images)


@pytest.mark.parametrize(("transform", "num_channels"), [(GAUSSIAN, 4), (ABLATION, 3)])
def test_votes_do_not_depend_on_batches_workers_ranges_or_targets(
    transform: HierarchicalNodeFeatureNoise, num_channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharded_voter, "ENTITIES_PER_SHARD", 24)  # two images a shard
    images = make_images()
    classifier = SmoothedImageClassifier(make_model(num_channels), transform, 4)
    expected = votes(classifier, images, seed=3)
    assert expected.shape == (5, 4)
    assert bool((expected.sum(1) == 60).all())
    for block_size in (1, 7):
        assert torch.equal(votes(classifier, images, seed=3, block_size=block_size), expected)
    two = classifier.sample_votes(images, 60, 3, progress=False, num_workers=2)
    assert torch.equal(two, expected)
    parts = votes(classifier, images, 23, seed=3) + votes(classifier, images, 37, seed=3, start=23)
    assert torch.equal(parts, expected)
    for index in ([4, 0, 4], torch.arange(5) > 2):
        assert torch.equal(votes(classifier, images, seed=3, index=index), expected[index])
    assert not torch.equal(votes(classifier, images, seed=4), expected)


def test_all_channels_of_a_selected_pixel_are_noisy_and_the_indicator_tells() -> None:
    images = make_images()
    seen = SmoothedImageClassifier(make_model(4), GAUSSIAN, 4).model_input(images)
    assert seen.shape == (5, 4, 3, 4)
    changed = seen[:, :3] != images
    assert torch.equal(changed.all(dim=1), changed.any(dim=1))
    assert torch.equal(seen[:, 3].bool(), changed.any(dim=1))


def test_normalize_sees_noisy_channels_and_not_the_indicator() -> None:
    def normalize(channels: Tensor) -> Tensor:
        assert channels.size(1) == 3
        return (channels - 0.5) / torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)

    images, inputs = make_images(), []
    for function in (None, normalize):
        classifier = SmoothedImageClassifier(make_model(4), GAUSSIAN, 4, function)
        torch.manual_seed(0)
        inputs.append(classifier.model_input(images))
    assert torch.equal(inputs[1][:, :3], normalize(inputs[0][:, :3]))
    assert torch.equal(inputs[1][:, 3], inputs[0][:, 3])
    assert set(inputs[1][:, 3].unique().tolist()) == {0.0, 1.0}


def test_ablated_pixels_are_unlike_any_other_with_the_complement() -> None:
    images = make_images()
    images[:, :, 0, 0] = 0.0  # black, and yet not ablated
    classifier = SmoothedImageClassifier(make_model(6), ABLATION, 4, complement=True)
    seen = classifier.model_input(images)
    ablated = (seen == 0).all(dim=1)
    assert ablated.flatten(1).sum(1).tolist() == [8] * 5
    kept = ~ablated.unsqueeze(1)
    assert torch.equal(seen[:, :3] * kept, images * kept)
    assert torch.equal(seen[:, 3:] * kept, (1 - images) * kept)
    certificate = classifier.certify(images, 20, 100, progress=False)
    assert certificate.num_entities.tolist() == [12] * 5
    assert certificate.num_features == 6


def test_vote_probabilities_equal_exact_enumeration() -> None:
    """Binary images of 1 x 2 pixels, a table for a model, all outcomes of flips."""
    table = torch.randint(0, 3, (16,), generator=torch.Generator().manual_seed(3))
    place = torch.tensor([1.0, 2.0, 4.0, 8.0])

    class Table(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return nn.functional.one_hot(table[(images.flatten(1) @ place).long()], 3).float()

    p, flips, num = 0.7, SparseFlipNoise(0.2, 0.6), 4000
    images = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]).view(3, 1, 1, 2)
    classifier = SmoothedImageClassifier(Table(), HierarchicalNodeFeatureNoise(p, flips), 3)
    sampled = votes(classifier, images, num, seed=2)
    # 9 two-sided tests, each wrong once in a million: a false alarm in 1e-5 of seeds.
    for counts, image in zip(sampled.tolist(), images.flatten(1).tolist(), strict=True):
        exact = np.zeros(3)
        for tau in itertools.product((0, 1), repeat=2):
            for z in itertools.product((0, 1), repeat=2):
                weight = 1.0
                for t, clean, noisy in zip(tau, image, z, strict=True):
                    flip = (flips.p_minus if clean else flips.p_plus) if t else 0.0
                    weight *= (p if t else 1 - p) * (flip if noisy != clean else 1 - flip)
                exact[int(table[int(torch.tensor([*z, *tau]).float() @ place)])] += weight
        for count, probability in zip(counts, exact, strict=True):
            low, high = binom.ppf([0.5e-6, 1 - 0.5e-6], num, probability)
            assert low <= count <= high


def test_datasets_and_loaders_give_their_images() -> None:
    images, labels = make_images(), torch.arange(5) % 4
    classifier = SmoothedImageClassifier(make_model(4), GAUSSIAN, 4)
    expected = votes(classifier, images, seed=3)
    dataset = TensorDataset(images, labels)
    for given in (list(images), dataset, DataLoader(dataset, batch_size=2, shuffle=True)):
        assert torch.equal(votes(classifier, given, seed=3), expected)
        assert len(classifier.certify(given, 5, 20, index=[1, 2], progress=False)) == 2


def test_a_model_that_mixes_images_gets_one_at_a_time() -> None:
    class Mixes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = make_model(4)

        def forward(self, images: Tensor) -> Tensor:
            return self.model(images - images.mean(dim=(0, 2, 3), keepdim=True))

    class Apart(Mixes):
        def forward(self, images: Tensor) -> Tensor:
            return torch.cat([super(Apart, self).forward(image) for image in images.split(1)])

    images = make_images()
    mixed, apart = (
        votes(SmoothedImageClassifier(model, GAUSSIAN, 4), images) for model in (Mixes(), Apart())
    )
    assert torch.equal(mixed, apart)


def test_certificates_know_their_pixels() -> None:
    classifier = SmoothedImageClassifier(make_model(4), GAUSSIAN, 4)
    certificate = classifier.certify(make_images(), 50, 500, progress=False, index=[3, 1])
    assert certificate.index.tolist() == [3, 1]
    assert certificate.num_entities.tolist() == [12, 12]
    assert "at most r pixels change" in certificate.threat
    assert certificate.num_features == 3
    assert classifier(make_images(), 50).sum(1).tolist() == pytest.approx([1.0] * 5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(2, 8, 8), "'images' must be a tensor [B, C, H, W] of at least one image, or"),
        (torch.rand(0, 3, 8, 8), "of some [C, H, W] (got [0, 3, 8, 8])"),
        (3, "(got int)"),
        (
            make_images(1),
            "the model failed on images of shape [5, 2, 3, 4] (the last is the indicator)",
        ),
        (torch.full((1, 3, 3, 4), torch.nan), "features 'x' must be finite"),
    ],
)
def test_bad_images(images: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        votes(SmoothedImageClassifier(make_model(4), GAUSSIAN, 4), images)
    assert message in str(caught.value)


def test_bad_arguments() -> None:
    model, images = make_model(6), make_images()
    with pytest.raises(ValueError, match="'complement' needs AblationNoise"):
        SmoothedImageClassifier(model, GAUSSIAN, 4, complement=True)
    with pytest.raises(ValueError, match="'complement' leaves nothing to 'normalize'"):
        SmoothedImageClassifier(model, ABLATION, 4, normalize=torch.relu, complement=True)
    with pytest.raises(ValueError, match=r"'complement' needs images with values in \[0, 1\]"):
        votes(SmoothedImageClassifier(model, ABLATION, 4, complement=True), 2 * images)
    with pytest.raises(ValueError, match="'index' must lie between 0 and 4"):
        votes(SmoothedImageClassifier(make_model(4), GAUSSIAN, 4), images, index=[5])
    with pytest.raises(ValueError, match="'normalize' failed on images of shape"):
        bad = SmoothedImageClassifier(
            make_model(4), GAUSSIAN, 4, lambda channels: channels / torch.ones(2, 1, 1)
        )
        votes(bad, images)
    with pytest.raises(ValueError, match="'size' must not exceed the number of entities"):
        large = HierarchicalNodeFeatureNoise(FixedSizeSelection(13), AblationNoise())
        votes(SmoothedImageClassifier(make_model(4), large, 4), images)
