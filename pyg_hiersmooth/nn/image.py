from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.nn.calls.image_forward import ImageForward, as_pixels
from pyg_hiersmooth.nn.calls.inputs.images import as_images
from pyg_hiersmooth.nn.calls.inputs.targets import as_target_index
from pyg_hiersmooth.nn.certificate_plan import Until
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

    The cells of selection and noise are methods of their own: all pixels with Gaussian noise is
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

    def sample_votes(
        self,
        images: Any,
        num_samples: int,
        seed: int = 0,
        index: Index = None,
        progress: bool = True,
        *,
        start: int = 0,
        num_workers: int | None = None,
        block_size: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Tensor:
        r"""Counts the classes that the model predicts under noise.

        Sample :math:`i` of an image depends on :obj:`seed`, :math:`i` and :obj:`images` alone,
        whatever the targets, the number of workers or interruptions.

        Args:
            images (torch.Tensor, list, Dataset or DataLoader): ``[B, C, H, W]``, or images
                ``[C, H, W]`` alone or as the first part of items such as ``(image, label)``. Of a
                loader, all items of its dataset, in their order there.
            num_samples (int): Number of samples, at least 1.
            seed (int): Non-negative seed. (default: :obj:`0`)
            index (torch.Tensor, optional): Mask ``[B]`` or indices ``[M]`` of the target
                images. Noise is drawn for all images: of a few targets among many images, pass
                only those as :obj:`images`. (default: all images)
            progress (bool): Whether to show a progress bar. (default: :obj:`True`)
            start (int): First sample, so that ranges of one run can be drawn apart: votes that
                bound a class must start after those that selected it. (default: :obj:`0`)
            num_workers (int, optional): Processes that sample on a CPU; :obj:`0` samples in this
                process. (default: one a core)
            block_size (int, optional): Copies of the images in one forward pass. (default: as
                many as are cheap)
            checkpoint (str, optional): File that keeps the votes as they come, and that an
                interrupted run with the same arguments continues from; it cannot tell whether
                :obj:`normalize` is the same. (default: :obj:`None`)

        Returns:
            torch.Tensor: Votes, int64 ``[M, num_classes]``; each row sums to :obj:`num_samples`.

        Raises:
            TypeError: If a dataset holds anything but tensors.
            ValueError: If an argument is out of range, the images are not ``[B, C, H, W]``, not
                what the noise is defined on or not of the channels that the model takes, or the
                checkpoint belongs to another run.
        """
        return self._sample_votes(
            images,
            num_samples,
            seed,
            index,
            progress,
            start=start,
            num_workers=num_workers,
            block_size=block_size,
            checkpoint=checkpoint,
            dense=True,
        )

    def certify(
        self,
        images: Any,
        n0: int | None = None,
        n: int | None = None,
        alpha: float | None = None,
        seed: int = 0,
        index: Index = None,
        progress: bool = True,
        *,
        kind: Kind = "multiclass",
        simultaneous: bool | None = None,
        num_workers: int | None = None,
        block_size: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        until: Until = None,
    ) -> Certificate:
        r"""Samples, and certifies the votes.

        Where a smoothing draws nothing, as with
        :class:`~pyg_hiersmooth.selection.PartitionSelection` and
        :class:`~pyg_hiersmooth.noise.AblationNoise`, all of its outcomes are voted on, each once,
        and the certificate is exact: it holds with certainty, and :obj:`n0`, :obj:`n`,
        :obj:`alpha`, :obj:`simultaneous` and :obj:`until` are not taken.

        Args:
            images, seed, index, progress, num_workers, block_size: As in
                :meth:`sample_votes`.
            n0 (int): Samples ``0, ..., n0 - 1``, which select the class. (default: :obj:`1_000`)
            n (int): Samples ``n0, ..., n0 + n - 1``, which bound it. (default: :obj:`10_000`)
            alpha (float): Error probability in :math:`(0, 1)`. (default: :obj:`0.01`)
            kind (str): ``"multiclass"`` or ``"binary"``. (default: :obj:`"multiclass"`)
            simultaneous (bool): Whether the statements hold for all targets at once.
                (default: :obj:`False`)
            checkpoint (str, optional): Folder that keeps ``pre_votes.npz`` and ``votes.npz`` as
                they come; with :obj:`until`, the latter alone. (default: :obj:`None`)
            until (dict or list of dict, optional): A question in the words of
                :meth:`~pyg_hiersmooth.certificates.Certificate.is_robust`, such as
                ``{"r": 1, "eps": 0.25}``, or several. A target is then sampled until they
                are all answered, yes or no, and at most :obj:`n` times; one whose answer is no may
                abstain. Bounds hold at all numbers of samples at once, so the certificate holds
                for every budget, and the run may go on, from its checkpoint, with a larger
                :obj:`n` or other questions. :obj:`n0` is not taken. (default: :obj:`None`)

        Returns:
            Certificate: For the target images, in the order of :obj:`index`.

        Raises:
            TypeError, ValueError: As in :meth:`sample_votes`; or if an exact certificate is given
                what belongs to sampling, or a model that draws random numbers.
        """
        return self._certify(
            images,
            n0,
            n,
            alpha,
            seed,
            index,
            progress,
            kind=kind,
            simultaneous=simultaneous,
            num_workers=num_workers,
            block_size=block_size,
            checkpoint=checkpoint,
            dense=True,
            until=until,
        )

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
        return voter, {"index": targets, "num_entities": num_pixels}

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
