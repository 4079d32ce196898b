r"""Images as rows of pixels, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyg_hiersmooth.nn.calls.forward import Forward


def as_pixels(images: Tensor) -> Tensor:
    r"""Images ``[B, C, H, W]`` as rows of pixels ``[B * H * W, C]``, image after image."""
    return images.permute(0, 2, 3, 1).reshape(-1, images.size(1))


class ImageForward:
    r"""Calls a model on copies of images, given as rows of pixels.

    Args:
        num_images (int): Images in one copy.
        size (tuple of int): Height and width.
        normalize (Callable, optional): Applied to all channels but the indicator.
        has_indicator (bool): Whether the last column of the rows is the indicator.
    """

    def __init__(
        self,
        num_images: int,
        size: tuple[int, int],
        normalize: Callable[[Tensor], Tensor] | None,
        has_indicator: bool,
    ) -> None:
        self.size, self.normalize, self.has_indicator = size, normalize, has_indicator
        self.rows, self.outputs = [size[0] * size[1]] * num_images, [1] * num_images

    def __call__(
        self, model: torch.nn.Module, x: Tensor, copies: int, seed: int, graph: Any = None
    ) -> Any:
        return model(self.as_images(x))

    def copies_of(self, copies: int) -> None:
        return None

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

    def unit(self, index: int) -> Forward:
        return ImageForward(1, self.size, self.normalize, self.has_indicator)

    def some(self, indices: list[int]) -> Forward:
        return ImageForward(len(indices), self.size, self.normalize, self.has_indicator)

    def in_dtype(self, dtype: torch.dtype) -> ImageForward:
        return self

    def is_own(self, value: Any) -> bool:
        return False

    def tensors(self) -> list[Tensor]:
        return [torch.tensor([len(self.rows), *self.size])]

    def watched(self) -> dict[str, Any]:
        return {"normalize": self.normalize}

    def describe(self, x: Tensor) -> str:
        return f"images of shape {[x.numel() // (x.size(1) * self.rows[0]), x.size(1), *self.size]}"

    def hint(self) -> str:
        return ""
