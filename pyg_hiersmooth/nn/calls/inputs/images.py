r"""Images to be classified, as the user holds them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyg_hiersmooth.nn.calls.inputs.items import all_items


def as_images(images: Any) -> Tensor:
    r"""All images of a tensor ``[B, C, H, W]``, a list, a dataset, or the dataset behind a loader,
    as one tensor; of items such as ``(image, label)`` the first part.

    Raises:
        TypeError: If it holds anything but tensors.
        ValueError: If there are none, they are not ``[C, H, W]`` of one size and dtype, or the
            loader leaves some out.
    """
    items = None if isinstance(images, Tensor) else all_items(images, "images")
    if items:
        images = _stacked([item[0] if isinstance(item, list | tuple) else item for item in items])
    if not isinstance(images, Tensor) or images.dim() != 4 or images.numel() == 0:
        got = list(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(
            "'images' must be a tensor [B, C, H, W] of at least one image, or a list, Dataset or "
            f"DataLoader of some [C, H, W] (got {got})"
        )
    return images


def _stacked(images: list[Any]) -> Tensor:
    for i, image in enumerate(images):
        if not isinstance(image, Tensor):
            raise TypeError(
                f"'images' must hold tensors [C, H, W] (image {i} is {type(image).__name__}): let "
                "the dataset turn them into tensors, as torchvision's ToTensor does"
            )
        if image.dim() != 3 or image.shape != images[0].shape or image.dtype != images[0].dtype:
            raise ValueError(
                f"'images' must be [C, H, W], of one size and dtype (image {i} is "
                f"{list(image.shape)} of {image.dtype}, the first is {list(images[0].shape)} of "
                f"{images[0].dtype})"
            )
    return torch.stack(images)
