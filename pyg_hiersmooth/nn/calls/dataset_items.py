r"""All items of a dataset, or of the dataset behind a loader."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader, Dataset, RandomSampler, SequentialSampler


def all_items(data: Any, name: str) -> list[Any] | None:
    r"""The items of a list, a dataset, or the dataset behind a loader, in their order there;
    :obj:`None` where it is none of these.

    Args:
        data: What the user gave.
        name (str): The argument that it was given for.

    Raises:
        ValueError: If a loader leaves some out, or a dataset has no length.
    """
    if isinstance(data, list | tuple):
        return list(data)
    if isinstance(data, DataLoader):
        batches = data.batch_sampler
        own = batches is None or getattr(batches, "sampler", None) is data.sampler
        if not own or not isinstance(data.sampler, SequentialSampler | RandomSampler):
            sampler = data.sampler if own else batches
            raise ValueError(
                f"'{name}' as a DataLoader must go through all of its dataset (got the sampler "
                f"{type(sampler).__name__}): pass its items themselves"
            )
        return all_items(data.dataset, name)
    if isinstance(data, Dataset):
        if not hasattr(data, "__len__"):
            raise ValueError(f"'{name}' must have a length (got {type(data).__name__})")
        return [data[i] for i in range(len(data))]
    return None
