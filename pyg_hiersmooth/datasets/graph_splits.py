r"""Which graphs a model is trained, validated and tested on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyg_hiersmooth.datasets.labels import as_labels
from pyg_hiersmooth.datasets.splits import Split


class GraphSplit(Split):
    r"""The graphs of a dataset that are used, with the arguments of
    :class:`~pyg_hiersmooth.datasets.splits.Split`.
    """


def split_graphs(
    y: Tensor, fold: int = 0, num_folds: int = 10, seed: int = 0, calibration: int = 0
) -> GraphSplit:
    r"""One split of a stratified cross-validation: a fold for testing, the next one for
    validation, and the others for training.

    With :obj:`calibration`, that many random graphs are taken from the training folds and mixed
    with the fold for testing, and the mix is divided at random. So calibration and test graphs are
    one random draw, as the coverage of prediction sets requires. The test graphs differ from those
    without :obj:`calibration`, and are no longer stratified.

    Args:
        y (torch.Tensor): The class of every graph, integers :obj:`[num_graphs]` or
            :obj:`[num_graphs, 1]`.
        fold (int, optional): The fold for testing, in :obj:`[0, num_folds)`.
            (default: :obj:`0`)
        num_folds (int, optional): The number of folds, at least :obj:`3`. (default: :obj:`10`)
        seed (int, optional): The seed of the folds, non-negative. (default: :obj:`0`)
        calibration (int, optional): The number of calibration graphs, at least :obj:`0`.
            (default: :obj:`0`)

    Raises:
        ValueError: If an argument is out of range, there are fewer graphs than folds, or no graph
            is left for training.
    """
    labels = as_labels(y, noun="graph").cpu().numpy()
    if not 3 <= num_folds <= labels.size:
        raise ValueError(
            f"'num_folds' must be at least 3 and at most the {labels.size} graphs (got {num_folds})"
        )
    if not 0 <= fold < num_folds:
        raise ValueError(f"'fold' must be in [0, {num_folds}) (got {fold})")
    # In random order, class after class, graphs are dealt out to the folds.
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(labels.size)
    dealt = shuffled[np.argsort(labels[shuffled], kind="stable")]
    folds = [torch.from_numpy(np.sort(dealt[i::num_folds])) for i in range(num_folds)]
    following = (fold + 1) % num_folds
    rest = [part for i, part in enumerate(folds) if i not in (fold, following)]
    train, val, test = torch.cat(rest), folds[following], folds[fold]
    if not 0 <= calibration < len(train) or calibration % 1:
        raise ValueError(
            f"'calibration' must be an integer of at least 0, and less than the {len(train)} "
            f"graphs for training (got {calibration})"
        )
    if calibration == 0:
        return GraphSplit(train, val, test)
    order = torch.from_numpy(generator.permutation(len(train)))
    mixed = torch.cat([test, train[order[:calibration]]])
    mixed = mixed[torch.from_numpy(generator.permutation(len(mixed)))]
    train = train[order[calibration:].sort().values]
    return GraphSplit(train, val, mixed[: len(test)], mixed[len(test) :])
