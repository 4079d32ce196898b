r"""Features that a model reads through linear maps only, without ever being written out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_PROPERTIES = ("shape", "ndim", "dtype", "device", "layout", "is_sparse", "is_cuda", "is_nested")
_METADATA = {
    torch.is_floating_point,
    torch.is_tensor,
    torch.numel,
    Tensor.__len__,
    Tensor.dim,
    Tensor.is_floating_point,
    Tensor.ndimension,
    Tensor.numel,
    Tensor.size,
    *(getattr(Tensor, name).__get__ for name in (*_PROPERTIES, "requires_grad")),
}
_PRODUCTS = {torch.matmul, torch.mm, Tensor.matmul, Tensor.mm, Tensor.__matmul__}


class NotLinearError(BaseException):
    r"""The model uses its features in another way than the linear maps that are known, which the
    message names.

    Not an :class:`Exception`, so that no model catches it and behaves differently than with plain
    features; raised ones are counted, in case a model catches even this.
    """

    raised: ClassVar[int] = 0

    def __init__(self, message: str) -> None:
        super().__init__(message)
        NotLinearError.raised += 1


@contextmanager
def not_swallowed() -> Iterator[None]:
    r"""Raises a :class:`NotLinearError` at the end where one was raised and swallowed."""
    before = NotLinearError.raised
    yield
    if NotLinearError.raised > before:
        raise NotLinearError("a use whose error it swallows")


class LinearMap(NamedTuple):
    r"""One linear use of the features by a model."""

    weight: Tensor
    r"""The model's own tensor, ``[H, D]`` (as in :func:`F.linear`) or ``[D, H]``."""
    transposed: bool
    r"""Whether :attr:`weight` is ``[H, D]``."""

    @property
    def key(self) -> tuple[Any, ...]:
        r"""What identifies the map in another run of the model: the memory it lies in."""
        return self.weight.data_ptr(), *self.weight.shape, *self.weight.stride(), self.transposed

    def matrix(self) -> Tensor:
        r"""The map as ``[D, H]``."""
        return self.weight.t() if self.transposed else self.weight


class LinearInput(Tensor):
    r"""Stands in for a feature matrix, and supports products with weight matrices.

    A model that does anything else with it meets a :class:`NotLinearError`.

    Attributes:
        known (tuple or None): Products with all first linear maps of a model, where it was seen to
            answer for them as for the features, and the matrix of these maps.
    """

    known: tuple[Tensor, Tensor] | None = None
    _product: Callable[[LinearMap], Tensor]

    @staticmethod
    def __new__(
        cls,
        shape: Sequence[int],
        dtype: torch.dtype,
        device: torch.device,
        product: Callable[[LinearMap], Tensor],
    ) -> LinearInput:
        self = torch.Tensor._make_wrapper_subclass(cls, tuple(shape), dtype=dtype, device=device)
        self._product = product
        return self

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"{self.__class__.__name__}()"

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _METADATA:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        if func is F.linear:
            return _linear(*args, **kwargs)
        if func in _PRODUCTS and not kwargs and _is_plain(args[1]) and args[1].dim() == 2:
            return args[0]._product(LinearMap(args[1], transposed=False))
        if func is F.dropout and _dropout_is_off(*args, **kwargs):
            return args[0]
        raise NotLinearError(getattr(func, "__name__", str(func)))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        raise NotLinearError(str(func))


def zeros_like_input(x: Tensor) -> Tensor:
    r"""Zeros of the shape, dtype and device of features, written out where those are."""
    if not isinstance(x, LinearInput):
        return torch.zeros_like(x)
    num_rows, dtype, device = x.size(0), x.dtype, x.device

    def product(linear_map: LinearMap) -> Tensor:
        return torch.zeros(num_rows, linear_map.matrix().size(1), dtype=dtype, device=device)

    return LinearInput(x.shape, x.dtype, x.device, product)


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if not isinstance(input, LinearInput) or not _is_plain(weight) or weight.dim() != 2:
        raise NotLinearError("linear")
    hidden = input._product(LinearMap(weight, transposed=True))
    return hidden if bias is None else hidden + bias


def _dropout_is_off(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> bool:
    return not training or p == 0.0


def _is_plain(weight: Any) -> bool:
    return isinstance(weight, Tensor) and not isinstance(weight, LinearInput)


def find_linear_maps(
    run: Callable[[Tensor], Any], shape: Sequence[int], like: Tensor
) -> list[LinearMap]:
    r"""Runs a model once on features that only record how they are used.

    Args:
        run (Callable): Calls the model on features.
        shape: Shape ``[N, D]`` of the features.
        like (torch.Tensor): A tensor of their dtype and device.

    Returns:
        The distinct linear maps of the features, which are all that the model does with them.

    Raises:
        NotLinearError: If it does something else with them, or nothing.
    """
    maps: dict[tuple[Any, ...], LinearMap] = {}

    def product(linear_map: LinearMap) -> Tensor:
        matrix = linear_map.matrix()
        if matrix.size(0) != shape[1] or matrix.dtype != like.dtype:
            raise NotLinearError("a product of other shape or dtype")
        if matrix.is_inference():
            raise NotLinearError("a product with weights that do not track their changes")
        maps[linear_map.key] = linear_map
        return like.new_zeros(shape[0], matrix.size(1))

    try:
        with torch.no_grad(), not_swallowed():
            run(LinearInput(shape, like.dtype, like.device, product))
    except Exception as error:  # whatever is wrong shows again on plain features
        raise NotLinearError(type(error).__name__) from error
    if not maps:
        raise NotLinearError("no use at all")
    return list(maps.values())
