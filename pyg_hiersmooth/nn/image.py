from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from pyg_hiersmooth.nn.calls.image_forward import ImageForward, as_pixels
from pyg_hiersmooth.nn.calls.inputs.images import as_images
from pyg_hiersmooth.nn.calls.inputs.targets import as_target_index
from pyg_hiersmooth.nn.smoothed_classifier import Index, SmoothedClassifier
from pyg_hiersmooth.nn.voters.forward_voter import ForwardVoter
from pyg_hiersmooth.nn.voters.sharded_voter import ShardedVoter, shard_voters
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise


class SmoothedImageClassifier(SmoothedClassifier):
    r"""An image classifier smoothed by hierarchical noise on pixels (Scholten et al. 2023).

    It returns, for each image, the class that the model predicts most often when random pixels
    are noisy; the entities are the :math:`H \cdot W` pixels, and all channels of a selected pixel
    receive noise.

    The cells of selection and noise are separate methods: all pixels with Gaussian noise is
    that of Cohen et al. (2019); a fixed number of pixels, ablated, with ``complement=True`` is
    that of Levine & Feizi (2020).

    Args:
        model (torch.nn.Module): Any model that maps images to logits ``[B, num_classes]``. It
            sees ``C`` channels, or ``2 * C`` with :obj:`complement`, and the indicator as one
            more where the transform appends it. It runs in evaluation mode; where it turns out to
            mix the images of a batch, it gets one at a time.
        transform (HierarchicalNodeFeatureNoise): The smoothing; a row is a pixel.
        num_classes (int): Number of classes.
        normalize (Callable, optional): Maps noisy images ``[B, C, H, W]`` to what the model
            takes, such as :class:`torchvision.transforms.Normalize`. It does not see the
            indicator; budgets remain those of the images before it. (default: :obj:`None`)
        complement (bool, optional): Whether pixels :math:`x \in [0, 1]` become
            :math:`[x, 1 - x]` before they are ablated, so that an ablated pixel, all zeros, is
            unlike any other (Levine & Feizi 2020). (default: :obj:`False`)

    Raises:
        ValueError: If :obj:`complement` is asked for with another noise than ablation, whose
            budgets it would change, or with :obj:`normalize`.

    Example:
        >>> transform = HierarchicalNodeFeatureNoise(0.8, GaussianNoise(0.25))
        >>> smoothed = SmoothedImageClassifier(model, transform, num_classes=10)
        >>> smoothed.certify(images).certified_accuracy(labels, r=2, eps=0.3)
    """

    noun = "image"
    not_ablated: ClassVar[dict[str, str]] = dict.fromkeys(
        ("messages", "nodes"), "pixels have neither edges nor rows that could go"
    )
    is_always_dense = True

    def __init__(
        self,
        model: torch.nn.Module,
        transform: HierarchicalNodeFeatureNoise,
        num_classes: int,
        normalize: Callable[[Tensor], Tensor] | None = None,
        complement: bool = False,
    ) -> None:
        if not isinstance(transform, HierarchicalNodeFeatureNoise):
            raise TypeError(
                "'transform' must be a HierarchicalNodeFeatureNoise "
                f"(got {type(transform).__name__})"
            )
        super().__init__(model, transform, num_classes)
        if complement and transform.noise.axes:
            raise ValueError(f"'complement' needs AblationNoise (got {transform.noise})")
        if complement and normalize is not None:
            raise ValueError("'complement' leaves nothing to 'normalize': give one of them")
        self.normalize, self.complement = normalize, complement

    def model_input(self, images: Tensor) -> Tensor:
        r"""One draw of what the model sees, to train it on; follows :func:`torch.manual_seed`.

        Args:
            images (torch.Tensor): ``[B, C, H, W]``.

        Returns:
            torch.Tensor: ``[B, C', H, W]``, as the model takes it.
        """
        images = as_images(images)
        x, sizes = self._pixels(images)
        noisy = self.transform.smooth(x, RandomStream.from_torch(x.device), sizes)
        return self._image_forward(images).as_images(noisy)

    def _voter(
        self, data: Any, index: Index, options: VoterOptions
    ) -> tuple[ShardedVoter, dict[str, Any]]:
        images = as_images(data)
        targets = as_target_index(index, images.size(0), "image")
        num_pixels = images[0, 0].numel()

        def make_voter(shard: range, inside: Tensor, number: int) -> ForwardVoter:
            few = images[shard.start : shard.stop]
            return self._forward_voter(
                self._image_forward(few),
                *self._pixels(few),
                inside,
                options,
                (number,),
            )

        voter = shard_voters([num_pixels] * images.size(0), targets, make_voter)
        return voter, {"index": targets, "num_entities": num_pixels, "entities": "pixels"}

    def _pixels(self, images: Tensor) -> tuple[Tensor, list[int]]:
        x = self._check_features(as_pixels(images))
        if self.complement:
            if not bool(((x >= 0) & (x <= 1)).all()):
                raise ValueError("'complement' needs images with values in [0, 1] (got others)")
            x = torch.cat([x, 1 - x], dim=1)
        return x, [x.size(0) // images.size(0)] * images.size(0)

    def _image_forward(self, images: Tensor) -> ImageForward:
        size = (images.size(2), images.size(3))
        indicator = self.transform.append_indicator
        return ImageForward(images.size(0), size, self.normalize, indicator)
