"""Images as users hold them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from pyg_hiersmooth.nn.calls.inputs.images import as_images

IMAGES = torch.rand(3, 1, 4, 5, generator=torch.Generator().manual_seed(0))


def test_all_ways_hold_the_same_images() -> None:
    labeled = TensorDataset(IMAGES, torch.arange(3))
    for given in (IMAGES, list(IMAGES), labeled, DataLoader(labeled, batch_size=2)):
        assert torch.equal(as_images(given), IMAGES)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([IMAGES[0], IMAGES[1].double()], ValueError, r"image 1 is \[1, 4, 5\] of torch.float64"),
        ([IMAGES[0], IMAGES[1, :, 1:]], ValueError, r"image 1 is \[1, 3, 5\]"),
        ([IMAGES], ValueError, r"image 0 is \[3, 1, 4, 5\]"),
        (["a.png"], TypeError, "image 0 is str.*ToTensor"),
        (IMAGES[0], ValueError, r"got \[1, 4, 5\]"),
        ([], ValueError, "at least one image"),
        (None, ValueError, "got NoneType"),
    ],
)
def test_what_is_none(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_images(given)


def test_augmentations_are_refused() -> None:
    class Flipped(TensorDataset):
        def __getitem__(self, i: int) -> Tensor:  # type: ignore[override]
            return self.tensors[0][i] * torch.rand(())

    with pytest.raises(ValueError, match="'images' must give the same item every time"):
        as_images(Flipped(IMAGES))
