r"""What the commands take: types, and the options that several of them share."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite
from pathlib import Path
from typing import Any, get_args

import click

from pyg_hiersmooth.choices import (
    Ablated,
    AttackMethod,
    EdgesNoise,
    Kind,
    SelectionName,
    TaskName,
    dataset_name,
    did_you_mean,
)
from pyg_hiersmooth.experiment.setting_parts import (
    CollectiveSettings,
    DataSettings,
    EdgesSettings,
    SamplingSettings,
    SetsSettings,
    SmoothingSettings,
    TrainingSettings,
    names,
)
from pyg_hiersmooth.experiment.settings import Settings
from pyg_hiersmooth.noise.axes import Axis
from pyg_hiersmooth.noise.kinds import NOISE_KINDS
from pyg_hiersmooth.noise.parameter import Parameter

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class FiniteRange(click.FloatRange):
    r"""A range of floats without NaN and infinity."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        number = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class ModelName(click.ParamType):
    r"""The name of a built-in model, or ``module:Class`` for the user's own."""

    name = "name"

    def __init__(self, *names: str) -> None:
        self.names = names

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"[{'|'.join(self.names)}|module:Class]"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        if value not in self.names and ":" not in value:
            known = ", ".join(repr(name) for name in self.names)
            hint = did_you_mean(value, self.names)
            self.fail(f"{value!r} is not one of {known}, nor 'module:Class'{hint}", param, ctx)
        return value


class DatasetName(click.ParamType):
    r"""The name of a dataset, in any case, or the path of an ``.npz`` file."""

    name = "name"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        try:
            return dataset_name(value, "--dataset")
        except ValueError as error:
            self.fail(str(error), param, ctx)


class SettingOption(click.Option):
    r"""An option that is :obj:`None` unless it is given, and whose help shows what that means."""

    def __init__(self, *arguments: Any, shown: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.shown = shown

    def get_default(self, ctx: click.Context, call: bool = True) -> Any:
        return None if call else self.shown  # the help asks without a call


class GroupedCommand(click.Command):
    r"""A command whose help shows options in groups, by the part of the settings they belong to."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {title: [] for title in GROUPS}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            titles = (title for title, members in GROUPS.items() if param.name in members)
            if record is not None:
                groups.setdefault(next(titles, "Run"), []).append(record)
        for title, records in groups.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


DATASET = DatasetName()
NODE_MODEL = ModelName("gcn", "gat", "gatv2", "appnp", "sage")
NOISE = click.Choice(list(NOISE_KINDS))
NODE_NOISE = click.Choice([*NOISE_KINDS, "none"])
PROBABILITY = FiniteRange(0.0, 1.0)
SELECTION = FiniteRange(0.0, 1.0, min_open=True)
ALPHA = FiniteRange(0.0, 1.0, min_open=True, max_open=True)
POSITIVE = FiniteRange(0.0, min_open=True)
NOT_NEGATIVE = FiniteRange(0.0)
COUNT, NOT_NEGATIVE_COUNT = click.IntRange(1), click.IntRange(0)
SEED = click.IntRange(0, 2**32 - 1)


def choice(literal: Any) -> click.Choice:
    r"""A closed choice."""
    return click.Choice(get_args(literal))


FLAGS = {"n": ("--num-samples", "-n", "--n"), "n0": ("--num-pre-samples", "--n0")}
r"""Options that are not named like their setting, since ``torchrun`` reads ``--n`` as one of its
own.
"""


def flag(name: str) -> str:
    r"""The command line option of a setting."""
    return FLAGS.get(name, ("--" + name.replace("_", "-"),))[0]


def setting(
    name: str, type: Any, help: str, default: Any = None, multiple: bool = False
) -> Decorator:
    r"""The option of a setting, with the default of :class:`Settings` unless there is another."""
    shown = _default(name) if default is None else default
    return click.option(
        *FLAGS.get(name, (flag(name),)),
        name,
        cls=SettingOption,
        type=type,
        shown=shown,
        multiple=multiple,
        help=help,
    )


def bundle(*options: Decorator) -> Decorator:
    r"""Several options as one, in their order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def given(options: dict[str, Any]) -> dict[str, Any]:
    r"""The options that were given."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def out_option(default: str, help: str, is_file: bool = False) -> Decorator:
    r"""Where a command leaves what it makes; the help shows the default."""
    path = click.Path(dir_okay=not is_file, path_type=Path)
    return click.option("--out", cls=SettingOption, type=path, shown=default, help=help)


def _default(name: str) -> Any:
    r"""The default of a setting where it applies, with that for graphs if it differs."""
    more = {"selection": "partition", "noise": "ablation", "collective": True, "sets": 0.9}
    edges: list[dict[str, Any]] = [
        {"edges": "flips"},
        {"edges": "ablation", "edges_selection": "partition"},
    ]
    found = [Settings.of(**options).options[name] for options in ({}, more, *edges)]
    default = next((value for value in found if value is not None), None)
    graphs = Settings.of(task="graph", sets=0.9).options[name]
    return (
        default
        if name == "task" or graphs in (default, None)
        else f"{default}, or {graphs} for graphs"
    )


def sampling_options(n0: int | None = None, n: int | None = None) -> Decorator:
    r"""How many samples are drawn, and what is made of them."""
    return bundle(
        setting("n0", COUNT, "Samples that select the class of a node or graph.", n0),
        setting("n", COUNT, "Samples that bound its probability.", n),
        setting("alpha", ALPHA, "Error probability of each certificate."),
    )


until_option = click.option(
    "--until",
    multiple=True,
    metavar="QUESTION",
    help="Sample a node or graph until it is known whether it withstands this adversary, at most n "
    "times, as in 'r=1,deletions=5'; with several of these, until all are answered. "
    "(default: a fixed number)",
)


def training_options(task: TaskName | None = None) -> Decorator:
    r"""How a model is trained, for one task or for both."""
    defaults = Settings.of(task=task).options if task else {}
    return bundle(
        *(
            setting(name, type, help, defaults.get(name))
            for name, type, help in (
                ("max_epochs", COUNT, "Maximum number of epochs."),
                ("patience", COUNT, "Epochs without improvement that end training."),
                ("lr", POSITIVE, "Learning rate."),
                ("num_draws", COUNT, "Draws of noise per training step."),
                ("consistency", NOT_NEGATIVE, "Weight of the consistency loss between draws."),
                ("consistency_rampup", click.IntRange(0), "Epochs in which this weight rises."),
            )
        )
    )


def _of_kinds(attribute: str) -> dict[str, dict[str, Any]]:
    r"""By name and kind of noise, the entries of that attribute."""
    found: dict[str, dict[str, Any]] = {}
    for kind in NOISE_KINDS.values():
        for each in getattr(kind, attribute):
            found.setdefault(each.name, {})[kind.name] = each
    return found


PARAMETERS, AXES = _of_kinds("parameters"), _of_kinds("axes")
r"""For each parameter of a noise, and each axis of a budget, what kinds have it."""

GROUPS = {
    "Data and model": names(DataSettings),
    "Smoothing": ["methods", *names(SmoothingSettings)],
    "Noise on edges": names(EdgesSettings),
    "Adversary": ["r", "r_edges", *AXES, "min_clean_accuracy"],
    "Certificates": [*names(SamplingSettings), "kind"],
    "Collective certificates": ["collective", *names(CollectiveSettings)],
    "Prediction sets": names(SetsSettings),
    "Training": [*names(TrainingSettings), "checkpoint"],
}
r"""The titles of options in a help, with the settings below; others belong to the run."""


def _help(owners: dict[str, Any]) -> str:
    first, *others = dict.fromkeys(each.help for each in owners.values())
    meaning = ", or ".join([first, *(f"{other[0].lower()}{other[1:]}" for other in others)])
    *kinds, last = owners
    return f"{meaning} ({' and '.join(filter(None, [', '.join(kinds), last]))} only)."


def _parameter_option(name: str, owners: dict[str, Parameter]) -> Decorator:
    parameter, *_ = owners.values()
    numbers = parameter.interval
    high = numbers.high if numbers.high < inf else None
    of_interval = FiniteRange(numbers.low, high, min_open=numbers.low_open)
    return setting(name, of_interval, _help(owners), parameter.default)


def _axis_option(name: str, owners: dict[str, Axis]) -> Decorator:
    whole = all(axis.whole for axis in owners.values())
    return click.option(
        flag(name), type=click.IntRange(0) if whole else POSITIVE, help=_help(owners)
    )


selection_option = setting(
    "selection",
    choice(SelectionName),
    "How nodes are selected: independently, or all but one group of a partition at a time. With "
    "ablation, a partition needs no samples: certificates are exact.",
)
partitions_option = setting("partitions", COUNT, "Partitions (partition only).")
partition_options = bundle(
    setting("groups", click.IntRange(2), "Groups of a partition (partition only)."),
    partitions_option,
)
ablate_option = setting(
    "ablate",
    choice(Ablated),
    "What is ablated of selected nodes (ablation only): with messages, certificates hold against "
    "other nodes that are taken over, features and edges; nodes is for graphs.",
)
edges_option = bundle(
    setting(
        "edges",
        click.Choice(["none", *get_args(EdgesNoise)]),
        "Noise on the edges of randomly selected pairs of nodes, so that certificates hold against "
        "changed edges. With ablation, selected pairs have no edge; with flips, they may get or "
        "lose one. Nodes get noise only if --noise names it; beside flips it must be ablation.",
        "none",
    ),
    setting(
        "edges_selection",
        choice(SelectionName),
        "How pairs are selected; as --selection. A partition of pairs is exact if edges are "
        "ablated and nodes get no noise.",
        "bernoulli, or partition if --edges-groups is given",
    ),
)
edges_partitions_option = setting("edges_partitions", COUNT, "Partitions of pairs.")
directed_option = click.option(
    "--directed",
    is_flag=True,
    default=None,
    help="Count the two directions between two nodes as two pairs.",
)
ablated_edges_options = bundle(
    setting(
        "edges_p", SELECTION, "Probability to select a pair.", "0.9 for ablation, 1.0 for flips"
    ),
    setting("edges_groups", click.IntRange(2), "Groups of a partition of pairs."),
    edges_partitions_option,
)
tuned_edges_options = bundle(edges_option, edges_partitions_option, directed_option)
edges_options = bundle(
    edges_option,
    ablated_edges_options,
    setting("edges_p_plus", PROBABILITY, "Probability to add an edge (flips of edges only)."),
    setting("edges_p_minus", PROBABILITY, "Probability to delete an edge (flips of edges only)."),
    directed_option,
)
collective_options = bundle(
    click.option(
        "--collective",
        is_flag=True,
        default=None,
        help="Also certify how many nodes no single attack on the graph can change.",
    ),
    setting(
        "method",
        choice(AttackMethod),
        "How to bound this number: by a linear program, or by an integer program, which certifies "
        "more (collective only).",
    ),
    setting("time_limit", POSITIVE, "Seconds for an integer program (collective only)."),
)
sets_options = bundle(
    click.option(
        "--sets",
        type=ALPHA,
        help="Also make sets of classes that contain the right one with this probability, even "
        "after an attack, such as 0.9. (default: no sets)",
    ),
    setting(
        "approve",
        PROBABILITY,
        "Softmax probability at which a sample approves a class (sets only): choose it in advance, "
        "or on validation nodes.",
    ),
    setting(
        "calibration",
        COUNT,
        "Random nodes or graphs that sets are calibrated on, hidden from training (sets only).",
    ),
)
noise_options = bundle(
    setting("p", SELECTION, "Probability to select a node."),
    *(_parameter_option(name, owners) for name, owners in PARAMETERS.items()),
)
budget_options = bundle(*(_axis_option(name, owners) for name, owners in AXES.items()))
root_option = setting("root", str, "Folder of the datasets; missing ones are downloaded.")
kind_option = setting(
    "kind",
    choice(Kind),
    "What the class of a node or graph must beat: every other class, or one half.",
)
workers_option = setting(
    "num_workers",
    click.IntRange(0),
    "Processes that sample on a CPU; 0 samples in the main one.",
    "one per core",
)
progress_option = click.option(
    "--no-progress",
    "progress",
    flag_value=False,
    default=True,
    show_default=False,
    help="Show no progress bars.",
)
