from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pyg_hiersmooth.nn.calls.image_forward import ImageForward, as_pixels


def test_the_indicator_is_not_normalized() -> None:
    images = torch.rand(2, 3, 2, 2)
    forward = ImageForward(2, (2, 2), lambda channels: channels - 1, has_indicator=True)
    seen = forward(nn.Identity(), as_pixels(images), 1, 0)
    torch.testing.assert_close(seen[:, :2], images[:, :2] - 1)
    assert torch.equal(seen[:, 2:], images[:, 2:])


def test_copies_follow_each_other() -> None:
    pixels = as_pixels(torch.rand(3, 2, 2, 2))
    forward = ImageForward(3, (2, 2), None, has_indicator=False)
    assert forward.rows == [4, 4, 4] and forward.unit(1).rows == [4]
    both = forward(nn.Identity(), torch.cat([pixels, pixels]), 2, 0)
    assert both.shape == (6, 2, 2, 2) and torch.equal(both[:3], both[3:])
    assert forward.describe(pixels) == "images of shape [3, 2, 2, 2]"


def test_a_normalize_that_fails_is_named() -> None:
    def broken(channels: Tensor) -> Tensor:
        raise RuntimeError("no")

    with pytest.raises(ValueError, match=r"'normalize' failed on images of shape \[1, 1, 2, 2\]"):
        ImageForward(1, (2, 2), broken, False)(nn.Identity(), torch.rand(4, 1), 1, 0)
