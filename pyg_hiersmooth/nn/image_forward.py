r"""Images as rows of pixels, and back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def as_pixels(images: Tensor) -> Tensor:
    r"""Images ``[B, C, H, W]`` as rows of pixels ``[B * H * W, C]``, image after image."""
    return images.permute(0, 2, 3, 1).reshape(-1, images.size(1))


class ImageForward:
    r"""Calls a model on copies of images, given as rows of pixels.

    Args:
        model (torch.nn.Module): Maps images ``[n, C', H, W]`` to logits ``[n, num_classes]``.
        num_images (int): Images in one copy.
        size (tuple of int): Height and width.
        normalize (Callable, optional): Applied to all channels but the indicator.
        has_indicator (bool): Whether the last column of the rows is the indicator.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        num_images: int,
        size: tuple[int, int],
        normalize: Callable[[Tensor], Tensor] | None,
        has_indicator: bool,
    ) -> None:
        self.model, self.num_outputs, self.size = model, num_images, size
        self.normalize, self.has_indicator = normalize, has_indicator
        self.one_by_one = False

    def __call__(self, x: Tensor, copies: int) -> Tensor:
        images = self.as_images(x)
        try:
            if not self.one_by_one:
                return self.model(images)
            return torch.cat([self.model(image) for image in images.split(1)])
        except (RuntimeError, IndexError, TypeError, AssertionError) as error:
            indicator = " (the last channel is the indicator)" if self.has_indicator else ""
            raise ValueError(
                f"the model failed on images of shape {list(images.shape)}{indicator}: {error}"
            ) from error

    def as_images(self, x: Tensor) -> Tensor:
        r"""Rows of pixels as the images that the model sees."""
        images = x.view(-1, *self.size, x.size(1)).permute(0, 3, 1, 2).contiguous()
        if self.normalize is None:
            return images
        channels, indicator = images, images[:, :0]
        if self.has_indicator:
            channels, indicator = images[:, :-1], images[:, -1:]
        try:
            normalized = self.normalize(channels)
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            raise ValueError(
                f"'normalize' failed on images of shape {list(channels.shape)}: {error}"
            ) from error
        return torch.cat([normalized, indicator], dim=1)

    def tensors(self) -> list[Tensor]:
        r"""All that the logits depend on, besides the model and the pixels."""
        return [torch.tensor([self.num_outputs, *self.size])]
