from __future__ import annotations

import re
from typing import Any

import click
import pytest
from click.testing import CliRunner

from pyg_hiersmooth.cli import main, options
from pyg_hiersmooth.experiment.settings import Settings


def run(option: Any, *arguments: str) -> tuple[Any, str]:
    """What a command with one option is given, and its help."""
    found: list[Any] = []

    @click.command(context_settings={"show_default": True})
    @option
    def command(**given: Any) -> None:
        found.extend(given.values())

    CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    help = CliRunner().invoke(command, ["--help"]).output
    return found[0] if found else None, " ".join(help.split())


def test_a_setting_is_nothing_unless_it_is_given() -> None:
    option = options.setting("max_epochs", options.COUNT, "Some help.", 20)
    assert run(option)[0] is None and run(option, "--max-epochs", "3")[0] == 3
    assert "--max-epochs INTEGER RANGE Some help. [default: 20; x>=1]" in run(option)[1]


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("lr", "0.001, or 0.01 for graphs"),
        ("max_epochs", "1000, or 300 for graphs"),
        ("noise", "flips, or ablation for graphs"),
        ("n", str(Settings.of().options["n"])),
        ("p", str(Settings.of().options["p"])),
        ("groups", str(Settings.of(selection="partition").options["groups"])),
        ("method", "milp"),
        ("dataset", "CitationSBM, or RandomMolecules for graphs"),
    ],
)
def test_defaults_are_those_of_the_settings(name: str, default: str) -> None:
    assert f"[default: {default}]" in run(options.setting(name, str, "Help."))[1]


def test_parameters_and_budgets_are_those_of_the_noises() -> None:
    text = run(options.noise_options)[1]
    for piece in (
        "--p FLOAT RANGE Probability to select a node. [default: 0.81; 0.0<x<=1.0]",
        "--p-minus FLOAT RANGE Probability to delete a one (flips only). [default: 0.8;",
        "--std FLOAT RANGE Standard deviation (gaussian only). [default: 0.25; x>0.0]",
        "--scale FLOAT RANGE Scale, or half width (laplace and uniform only). [default: 0.25;",
    ):
        assert piece in text
    text = run(options.budget_options)[1]
    assert "--deletions INTEGER RANGE Total deletions (flips only). [x>=0]" in text
    assert "--eps FLOAT RANGE Total distance (gaussian, laplace and uniform only). [x>0.0]" in text


def test_several_values() -> None:
    option = options.setting("seed", options.SEED, "Seeds.", (3, 4), multiple=True)
    assert run(option)[0] == () and run(option, "--seed", "1", "--seed", "2")[0] == (1, 2)
    assert "[default: 3, 4; 0<=x<=4294967295]" in run(option)[1]


def test_what_was_given() -> None:
    assert options.given({"a": None, "b": 0, "c": (), "d": False}) == {"b": 0, "d": False}


def test_bundles_keep_their_order() -> None:
    text = run(options.training_options("node"))[1]
    assert re.findall(r"--[a-z-]+", text)[:3] == ["--max-epochs", "--patience", "--lr"]
    assert "graphs" not in text
    assert "for graphs" in run(options.training_options())[1]
    text = run(options.sampling_options(5, 7))[1]
    flags = ["--num-pre-samples", "--n0", "--num-samples", "--n", "--alpha"]
    assert re.findall(r"--[a-z0-9-]+", text)[:5] == flags
    assert "default: 5;" in text and "default: 7;" in text


def test_all_commands_spell_a_setting_alike() -> None:
    shared = ("n0", "n", "alpha", "max_epochs", "patience", "lr", "root")
    for name in shared:
        helps = {
            (option.help, str(option.type))
            for command in ("certify", "tune", "benchmark")
            for option in main.commands[command].params
            if option.name == name
        }
        assert len(helps) == 1, name


@pytest.mark.parametrize("command", ["certify", "tune", "benchmark"])
def test_every_option_is_in_one_group_of_the_help(command: str) -> None:
    text = CliRunner().invoke(main, [command, "--help"], terminal_width=100).output
    options_of = main.commands[command].params
    for option in options_of:
        flag = max(option.opts, key=len)
        assert len(re.findall(rf"^  .*{flag}[ ,]", text, re.MULTILINE)) >= 1, flag
    titles = re.findall(r"^([A-Z][a-z ]+):$", text, re.MULTILINE)
    assert titles[0] == "Data and model" and titles[-1] == "Run" and "Options" not in titles
    assert text.index("Smoothing:") < text.index("  --partitions ") < text.index("Certificates:")


def test_settings_of_a_part_have_a_group() -> None:
    for title, members in options.GROUPS.items():
        shown = {option.name for each in main.commands.values() for option in each.params}
        assert shown & set(members), title


def test_the_help_has_the_width_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = []
    for columns in ("80", "110", "300"):
        monkeypatch.setenv("COLUMNS", columns)
        program = click.Context(main, **main.context_settings)
        command = main.commands["certify"]
        text = command.get_help(click.Context(command, parent=program, show_default=True))
        widths.append(max(map(len, text.splitlines())))
    assert 70 < widths[0] <= 80 < widths[1] <= 110 < widths[2] <= 120


def test_switches_show_what_is_default() -> None:
    text = " ".join(CliRunner().invoke(main, ["certify", "--help"]).output.split())
    assert "sum first. [default: no-normalize-features]" in text
    assert "as one more feature. [default: indicator]" in text
