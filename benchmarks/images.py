r"""Certified accuracy of image classifiers: hierarchical against flat smoothing.

Trains a small CNN under each noise, on scikit-learn's 8x8 digits or on CIFAR-10 (needs
torchvision), and certifies test images against changes of r = 1, ..., 4 pixels. Of each family,
the best of a few settings counts: hierarchical Gaussian smoothing, Cohen's Gaussian on all
pixels, Levine & Feizi's ablation of a fixed number of pixels in the encoding [x, 1-x], and that of
partitions, which is exact. A dataset leaves one JSON file; what is there is not made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from families import ABLATION, EXACT, Curve, Study, gaussian_settings, report
from torch import Tensor, nn
from tqdm import tqdm

from pyg_hiersmooth.nn import SmoothedImageClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import FixedSizeSelection, PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

HERE = Path(__file__).resolve().parent
RESULTS, DOCS = HERE / "images", HERE.parent / "docs" / "benchmarks" / "images"
ABLATED_SHARES, GROUPS = (0.8, 0.9), (4, 8)
STRENGTHS, SHOWN = np.linspace(0.0, 1.5, 61)[1:].round(3), [0.25, 0.5, 0.75, 1.5]
HEAD = """\
# Images: digits

Certified accuracy in percent on 200 test images of 8 x 8 pixels, at n0 = 100 and n = 1,000 for what
is sampled. An adversary changes r pixels, by eps (l2) over all of them, where pixels lie between 0
and 1. Ablation holds for any change.
"""


@dataclass(frozen=True)
class Images:
    r"""Images in [0, 1], ``[B, C, H, W]``, and their labels."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor


def load_digits() -> Images:
    r"""The 1,797 digits of scikit-learn, 1,200 of them for training."""
    from sklearn.datasets import load_digits as load

    digits = load()
    images = torch.from_numpy(digits.images).float().unsqueeze(1) / 16.0
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    images, labels = images[order], torch.from_numpy(digits.target)[order]
    return Images(images[:1200], labels[:1200], images[1200:], labels[1200:])


def load_cifar10(root: str) -> Images:
    r"""CIFAR-10, downloaded by torchvision."""
    try:
        datasets = import_module("torchvision.datasets")
    except ImportError as error:
        raise click.UsageError("'--dataset cifar10' needs: pip install torchvision") from error
    parts: list[Tensor] = []
    for train in (True, False):
        data = datasets.CIFAR10(root, train=train, download=True)
        parts.append(torch.from_numpy(data.data).permute(0, 3, 1, 2).float() / 255.0)
        parts.append(torch.tensor(data.targets))
    return Images(*parts)


def make_cnn(in_channels: int, width: int = 32) -> nn.Module:
    r"""Two blocks of convolutions and a linear map of what is left."""
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(4),
        nn.Flatten(),
        nn.Linear(32 * width, 10),
    )


def normalize(images: Tensor) -> Tensor:
    r"""Centers pixel values."""
    return (images - 0.5) / 0.5


def train(smoothed: SmoothedImageClassifier, images: Tensor, labels: Tensor, epochs: int) -> None:
    r"""Trains the model on fresh noise in every batch."""
    device = smoothed.device
    optimizer = torch.optim.Adam(smoothed.model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    smoothed.model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            logits = smoothed.model(smoothed.model_input(images[batch].to(device)))
            loss = nn.functional.cross_entropy(logits, labels[batch].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()


def ablations(num_pixels: int) -> list[HierarchicalNodeFeatureNoise]:
    r"""Levine & Feizi's method, which needs no indicator: its encoding tells."""
    return [
        HierarchicalNodeFeatureNoise(
            FixedSizeSelection(round(share * num_pixels)), AblationNoise(), append_indicator=False
        )
        for share in ABLATED_SHARES
    ]


@click.command()
@click.option("--dataset", type=click.Choice(["digits", "cifar10"]), default="digits")
@click.option("--root", default="data", help="Folder of CIFAR-10.")
@click.option("--p", "ps", multiple=True, default=(0.8, 0.9), show_default=True)
@click.option("--std", "stds", multiple=True, default=(0.35, 0.7), show_default=True)
@click.option("--epochs", default=80, type=click.IntRange(1))
@click.option("--num-images", default=200, type=click.IntRange(1), help="Test images to certify.")
@click.option("--n0", default=100, type=click.IntRange(1))
@click.option("--n", default=1_000, type=click.IntRange(1))
@click.option("--device", default="cpu")
def main(
    dataset: str,
    root: str,
    ps: tuple[float, ...],
    stds: tuple[float, ...],
    epochs: int,
    num_images: int,
    n0: int,
    n: int,
    device: str,
) -> None:
    r"""Keeps, prints and draws certified accuracy over eps for r = 1, ..., 4."""
    path = RESULTS / f"{dataset}.json"
    if not path.exists():
        data = load_digits() if dataset == "digits" else load_cifar10(root)
        images, labels = data.test[:num_images], data.test_labels[:num_images]
        settings: dict[str, list[HierarchicalNodeFeatureNoise]] = {
            **gaussian_settings(ps, stds),
            ABLATION: ablations(images[0, 0].numel()),
            EXACT: [
                HierarchicalNodeFeatureNoise(PartitionSelection(groups), AblationNoise(), False)
                for groups in GROUPS
            ],
        }
        study = Study(f"{dataset}, {len(images)} images", STRENGTHS.tolist(), SHOWN)
        every = [(family, each) for family, many in settings.items() for each in many]
        for family, transform in tqdm(every, desc=dataset):
            complement = not transform.noise.axes
            in_channels = images.size(1) * (1 + complement) + transform.append_indicator
            torch.manual_seed(0)
            model = make_cnn(in_channels).to(device)
            smoothed = SmoothedImageClassifier(
                model, transform, 10, None if complement else normalize, complement
            )
            train(smoothed, data.train, data.train_labels, epochs)
            sampling: dict[str, Any] = {} if family == EXACT else {"n0": n0, "n": n}
            certificate = smoothed.certify(images, **sampling, progress=False)
            parts = [(certificate, labels.numpy())]
            study.curves.append(Curve.of(family, transform, parts, STRENGTHS))
        study.save(path)
    report([(path, Study.load(path))], HEAD, DOCS)


if __name__ == "__main__":
    main()
