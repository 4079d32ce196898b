r"""What a scripted or traced module holds besides parameters and buffers, which Python's own
``vars`` do not show.
"""

from __future__ import annotations

import re
from typing import Any

import torch


def scripted_values(module: torch.nn.Module) -> dict[str, Any]:
    r"""Attributes and constants that the code of a :class:`torch.jit.ScriptModule` reads, by name,
    without its parameters, buffers and submodules; nothing for other modules.
    """
    compiled = getattr(module, "_c", None)
    if not isinstance(module, torch.jit.ScriptModule) or compiled is None:
        return {}
    values: dict[str, Any] = {}
    registered = {
        *(name for name, _ in module.named_children()),
        *(name for name, _ in module.named_parameters(recurse=False)),
        *(name for name, _ in module.named_buffers(recurse=False)),
    }
    for method in compiled._method_names():
        code, constants = compiled._get_method(method).code_with_constants
        values |= {f"{method}.{name}": each for name, each in constants.items()}
        read = set(re.findall(r"\bself\.(\w+)", code)) - registered
        values |= {name: compiled.getattr(name) for name in sorted(read) if compiled.hasattr(name)}
    return values


def stop_scripted_caching(module: torch.nn.Module) -> None:
    r"""Empties what a scripted convolution of PyG keeps under ``cached=True``, and lets it keep
    nothing from here on.
    """
    values = scripted_values(module)
    caches = [name for name in values if name.startswith("_cached_")]
    if caches and values.get("cached") is True:
        for name, empty in (*dict.fromkeys(caches).items(), ("cached", False)):
            module._c.setattr(name, empty)  # type: ignore[operator, union-attr]
