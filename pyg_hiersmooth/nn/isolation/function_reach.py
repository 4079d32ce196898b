r"""What a function can reach besides its arguments."""

from __future__ import annotations

import dis
import sys
import types
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

_LIBRARIES = {
    *sys.stdlib_module_names,
    *("torch", "torch_geometric", "numpy", "scipy", "pyg_hiersmooth"),
}


def is_of_library(module: str | None) -> bool:
    r"""Whether a module belongs to a library, by its name."""
    return str(module).partition(".")[0] in _LIBRARIES


def _is_of_user(module: types.ModuleType) -> bool:
    installed = {"site-packages", "dist-packages"} & {
        *Path(getattr(module, "__file__", None) or "").parts
    }
    return not (installed or is_of_library(module.__name__))


def reach(function: types.FunctionType) -> dict[str, Any]:
    r"""What a function, or one that is written inside of it, reaches, by the names that it uses:
    defaults, its own attributes, what it closes over, and globals.

    Names of attributes do not count: ``data.x`` does not reach a global ``x``. Of a module
    of the user's, it reaches what the function names anywhere.
    """
    code = function.__code__
    defaults = function.__defaults__ or ()
    # Decorators give functions of *args the defaults of others.
    nameless = [f"[{i}]" for i in range(len(defaults) - code.co_argcount)]
    arguments = [*nameless, *code.co_varnames[: code.co_argcount]]
    names, attributes = _names(code)
    reached = {
        **dict(zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True)),
        **(function.__kwdefaults__ or {}),
        **vars(function),
        **dict(_filled(code.co_freevars, function.__closure__ or ())),
        **{name: function.__globals__[name] for name in names if name in function.__globals__},
    }
    reached.pop("__class__", None)
    for name, module in list(reached.items()):
        if isinstance(module, types.ModuleType) and _is_of_user(module):
            inside = vars(module)
            reached |= {f"{name}.{each}": inside[each] for each in attributes if each in inside}
    return reached


def _filled(names: tuple[str, ...], cells: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(names, cells, strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not filled yet
            continue


@lru_cache(maxsize=1024)
def _names(code: types.CodeType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    r"""Names of globals, and of all else, in the order of their first use."""
    uses = {
        step.argval: None
        for step in dis.get_instructions(code)
        if "GLOBAL" in step.opname or step.opname == "LOAD_NAME"
    }
    attributes = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inside = _names(constant)
            uses |= dict.fromkeys(inside[0])
            attributes |= dict.fromkeys(inside[1])
    return tuple(uses), tuple(attributes)
