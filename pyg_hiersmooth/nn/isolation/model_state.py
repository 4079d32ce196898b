r"""What a model, and the functions that call it, keep from one call to the next."""

from __future__ import annotations

import argparse
import hashlib
import pickle
import random
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data.data import BaseData

from pyg_hiersmooth.nn.isolation.function_reach import is_of_library, reach
from pyg_hiersmooth.nn.isolation.scripted import scripted_values
from pyg_hiersmooth.sampling.checkpoint import fingerprint

State = dict[str, str]
r"""A digest of every value that is kept, by the path that leads to it."""

Parts = list[tuple[str, Any]]

_PLAIN = (
    *(type(None), bool, int, float, complex, str, bytes, np.generic),
    *(torch.dtype, torch.device, torch.layout, torch.Size),
)
_GENERATORS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)
_WHOLE = (Tensor, np.ndarray, Iterator, *_GENERATORS)
_NAMESPACES = (types.SimpleNamespace, argparse.Namespace)
_WITH_SETTINGS = ("torch", "torch_geometric")
r"""Packages whose objects are what their attributes say, such as transforms and distributions."""
_METHODS = (types.FunctionType, staticmethod, classmethod, property, cached_property)


def state_of(**roots: Any) -> State:
    r"""Digests all that objects hold: tensors, numbers, containers and generators, of modules and
    of instances of the user's own classes, and what functions reach through closures and globals.

    Args:
        **roots: The objects, by the names that paths start with.
    """
    return {path: _digest(value) for path, value in leaves(**roots)}


def first_difference(before: State, after: State) -> str | None:
    r"""A path whose value differs, one of the shortest; :obj:`None` where there is none."""
    paths = before.keys() | after.keys()
    changed = [path for path in paths if before.get(path) != after.get(path)]
    return min(changed, key=lambda path: (path.count("."), path)) if changed else None


def leaves(**roots: Any) -> Iterator[tuple[str, Any]]:
    r"""The values without parts that objects hold, with the paths that lead to them."""
    seen: dict[int, Any] = {}
    stack = list(reversed(roots.items()))
    while stack:
        path, value = stack.pop()
        if isinstance(value, _PLAIN):
            yield path, value
            continue
        if id(value) in seen:
            continue
        seen[id(value)] = value  # kept, so that no other object takes its address
        parts = _parts(value)
        if parts is None:
            yield path, value
        else:
            stack.extend((path + name, part) for name, part in reversed(parts))


def _parts(value: Any) -> Parts | None:
    r"""What an object consists of; :obj:`None` where it is a whole."""
    if isinstance(value, np.ndarray) and value.dtype == object:
        return _items(value.flat)
    if isinstance(value, types.GeneratorType):
        return _generator_parts(value)
    if isinstance(value, _WHOLE):
        return None
    if isinstance(value, BaseData):
        return _parts(value.to_dict())
    if isinstance(value, Mapping):
        items = [(_named(key, i), part) for i, (key, part) in enumerate(value.items())]
        return [("#", len(value)), *items, *_attributes(value)]
    if isinstance(value, list | tuple | deque):
        return [*_items(value), *_attributes(value)]
    if isinstance(value, Set):
        return [*_items(sorted(value, key=_place)), *_attributes(value)]
    if isinstance(value, types.MethodType):
        return [("", value.__func__), (".self", value.__self__)]
    if isinstance(value, partial):
        return [("", value.func), (".args", value.args), (".keywords", value.keywords)]
    if isinstance(value, staticmethod | classmethod):
        return [("", value.__func__)]
    if isinstance(value, property):
        return [("", value.fget), (".setter", value.fset)]
    if isinstance(value, cached_property):
        return [("", value.func)]
    if isinstance(value, types.FunctionType | type):
        if is_of_library(value.__module__):
            return None
        if isinstance(value, type):
            return _class_parts(value)
        return [("", value.__code__), *((f".{name}", part) for name, part in reach(value).items())]
    if isinstance(value, types.ModuleType):
        return None
    if type(value).__name__ == "SparseTensor":  # it completes its other forms when needed
        return [(f".coo[{i}]", part) for i, part in enumerate(value.coo())]
    if isinstance(value, torch.nn.Module):
        return [*_module_parts(value), *_class_parts(type(value))]
    if _package(value) in _WITH_SETTINGS:
        return [("", type(value).__qualname__), *_attributes(value)]
    if is_of_library(type(value).__module__) and not isinstance(value, _NAMESPACES):
        return None
    return [*_attributes(value), *_class_parts(type(value))]


def _items(values: Iterable[Any]) -> Parts:
    items = [(f"[{i}]", part) for i, part in enumerate(values)]
    return [("#", len(items)), *items]


def _generator_parts(generator: types.GeneratorType[Any, Any, Any]) -> Parts:
    r"""How far a generator is, and what it holds."""
    frame = generator.gi_frame
    if frame is None:
        return [("", "at its end")]
    held = [(f".{name}", part) for name, part in frame.f_locals.items()]
    return [("", frame.f_lasti), *held]


def _place(value: Any) -> str:
    r"""Orders what a set holds: in every copy alike, as far as that can be told."""
    kind = type(value).__name__
    return f"{kind} {value!r}" if isinstance(value, (*_PLAIN, tuple)) else kind


def _module_parts(module: torch.nn.Module) -> Parts:
    tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    registered = {"_parameters", "_buffers", "_modules"}
    return [
        *((f".{name}", part) for name, part in (*tensors, *module.named_children())),
        *((f".{name}", part) for name, part in scripted_values(module).items()),
        *(part for part in _attributes(module) if part[0][1:] not in registered),
    ]


def _attributes(value: Any) -> Parts:
    kind: Any = type(value)
    slots = {name: getattr(value, name) for name in _slots(kind) if hasattr(value, name)}
    return [
        (f".{name}", part) for name, part in {**slots, **getattr(value, "__dict__", {})}.items()
    ]


@lru_cache(maxsize=1024)
def _slots(kind: type) -> tuple[str, ...]:
    return tuple(
        name
        for base in kind.__mro__
        for name, part in vars(base).items()
        if isinstance(part, types.MemberDescriptorType) and not name.startswith("__")
    )


def _class_parts(kind: type) -> Parts:
    r"""Methods of the user's classes but ``__init__``, which no call of an object runs, and what
    the classes themselves hold.
    """
    return [
        (f".{base.__name__}.{name}", part)
        for base in kind.__mro__
        if not is_of_library(base.__module__)
        for name, part in vars(base).items()
        if name != "__init__"
        and (isinstance(part, _METHODS) or not (name.startswith("__") or hasattr(part, "__get__")))
    ]


def _named(key: Any, place: int) -> str:
    r"""A key in a path; one of the user's classes by its place, for its copies are other ones."""
    if isinstance(key, str):
        return f".{key}"
    is_known = isinstance(key, (*_PLAIN, tuple))
    return f"[{key!r}]" if is_known else f"[{type(key).__name__} {place}]"


def _digest(value: Any) -> str:
    if isinstance(value, _PLAIN):
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, Tensor):
        return _tensor_digest(value)
    if isinstance(value, types.FunctionType):  # which PyG writes anew for each copy of some models
        return _digest(value.__code__)
    if isinstance(value, types.CodeType):
        constants = [_digest(each) for each in value.co_consts]
        names = value.co_name, value.co_names, value.co_varnames
        return _bytes_digest(repr((names, value.co_code, constants)).encode())
    if isinstance(value, torch.Generator):
        return fingerprint(value.get_state())
    if isinstance(value, random.Random):
        return _bytes_digest(repr(value.getstate()).encode())
    if _package(value) in ("torch", "torch_geometric", "pyg_hiersmooth"):
        return type(value).__qualname__  # such as packed weights, written differently at each call
    try:
        return _bytes_digest(pickle.dumps(value))
    except Exception:  # pickling runs code of any class; what fails is left to the trial calls
        return repr(value) if isinstance(value, _WHOLE) else type(value).__qualname__


def _tensor_digest(value: Tensor) -> str:
    try:
        plain = value if type(value) is Tensor else value.as_subclass(Tensor)
        return fingerprint(plain.detach())
    except (RuntimeError, TypeError):  # of a kind without plain bytes, such as quantised
        return f"{value.dtype} {list(value.shape)}"


def _package(value: Any) -> str:
    r"""The package that the class of an object belongs to."""
    return type(value).__module__.partition(".")[0]


def _bytes_digest(raw: bytes) -> str:
    return hashlib.blake2b(raw, digest_size=8).hexdigest()
