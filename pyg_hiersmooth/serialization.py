r"""Selections and noises as plain dictionaries, for JSON."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor

from pyg_hiersmooth import noise, selection


def to_dict(component: noise.Noise | selection.Selection) -> dict[str, Any]:
    r"""The class name and the arguments of a selection or a noise.

    Raises:
        ValueError: If it is not one of this package, and could not be read back.
    """
    known = (
        getattr(noise, type(component).__name__, None),
        getattr(selection, type(component).__name__, None),
    )
    if type(component) not in known:
        raise ValueError(f"{component} is not of this package and cannot be written to a file")
    arguments = {}
    for name in inspect.signature(type(component)).parameters:
        value = getattr(component, name)
        arguments[name] = value.tolist() if isinstance(value, Tensor) else value
    return {"class": type(component).__name__, **arguments}


def noise_from_dict(settings: dict[str, Any]) -> noise.Noise:
    r"""The noise that :func:`to_dict` described.

    Raises:
        ValueError: If there is no such noise.
    """
    return _build(settings, noise, noise.Noise)


def selection_from_dict(settings: dict[str, Any]) -> selection.Selection:
    r"""The selection that :func:`to_dict` described.

    Raises:
        ValueError: If there is no such selection.
    """
    return _build(settings, selection, selection.Selection)


def _build(settings: dict[str, Any], module: Any, base: type) -> Any:
    arguments = dict(settings)
    name = arguments.pop("class")
    component = getattr(module, str(name), base)
    known = inspect.isclass(component) and issubclass(component, base)
    if not known or inspect.isabstract(component):
        raise ValueError(f"unknown {base.__name__.lower()} {name!r}")
    return component(**arguments)
