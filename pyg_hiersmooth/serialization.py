r"""Selections and noises as plain dictionaries, for JSON.

Reading runs no code that a file names: a class of your own is found only if the program has
imported it before.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, TypeVar

from torch import Tensor

from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.selection import Selection

Component = TypeVar("Component", Noise, Selection)

UNSAID: dict[str, dict[str, Any]] = {
    "AblationNoise": {"of": "features"},
    "PartitionSelection": {"dealing": "shuffled"},
}
r"""What a file means that does not say an argument: the only way there was in version 0.1."""


def to_dict(component: Noise | Selection) -> dict[str, Any]:
    r"""The class and the arguments of a selection or a noise.

    Classes of this package go by their names, others by their modules as well.

    Raises:
        ValueError: If it could not be read back: each argument must be kept in an attribute of
            its name, as a number, a text, a list of them, a tensor, :obj:`None`, or a selection or
            noise itself.
    """
    kind = type(component)
    names = inspect.signature(kind).parameters
    arguments = {name: _plain(component, name) for name in names}
    for name, unsaid in UNSAID.get(_path(kind), {}).items():
        if arguments[name] == unsaid:
            del arguments[name]
    return {"class": _path(kind)} | arguments


def noise_from_dict(settings: dict[str, Any]) -> Noise:
    r"""The noise that :func:`to_dict` described.

    Raises:
        ValueError: If there is no such noise, or it has not been imported.
    """
    return _build(settings, Noise)  # type: ignore[type-abstract]


def selection_from_dict(settings: dict[str, Any]) -> Selection:
    r"""The selection that :func:`to_dict` described.

    Raises:
        ValueError: If there is no such selection, or it has not been imported.
    """
    return _build(settings, Selection)  # type: ignore[type-abstract]


def _build(settings: dict[str, Any], base: type[Component]) -> Component:
    arguments = dict(settings)
    path = str(arguments.pop("class"))
    known = {_path(kind): kind for kind in _subclasses(base) if not inspect.isabstract(kind)}
    if path not in known:
        hint = ": a class of your own must be imported first" if "." in path else ""
        raise ValueError(f"unknown {base.__name__.lower()} '{path}'{hint}")
    arguments = {name: _built(value) for name, value in arguments.items()}
    return known[path](**UNSAID.get(path, {}) | arguments)


def _built(value: Any) -> Any:
    r"""An argument, which may be a component itself."""
    if not (isinstance(value, dict) and "class" in value):
        return value
    try:
        return noise_from_dict(value)
    except ValueError:
        return selection_from_dict(value)


def _path(kind: type) -> str:
    ours = kind.__module__.startswith(f"{__package__}.")
    return kind.__name__ if ours else f"{kind.__module__}.{kind.__qualname__}"


def _subclasses(base: type[Component]) -> Iterator[type[Component]]:
    r"""All classes below a base that were defined so far, the latest of a name last."""
    for kind in base.__subclasses__():
        yield kind
        yield from _subclasses(kind)


def _plain(component: Noise | Selection, name: str) -> Any:
    r"""An argument that a component was made with, from the attribute of its name."""
    if hasattr(component, name):
        value = getattr(component, name)
        if isinstance(value, Noise | Selection):
            return to_dict(value)
        value = value.tolist() if isinstance(value, Tensor) else value
        if _is_plain(value):
            return value
        got = type(value).__name__
    else:
        got = "nothing"
    raise ValueError(
        f"{component} cannot be written to a file: its attribute '{name}' must hold plain numbers "
        f"or texts (got {got})"
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
