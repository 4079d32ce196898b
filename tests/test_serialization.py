from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from pyg_hiersmooth import noise, selection
from pyg_hiersmooth.serialization import noise_from_dict, selection_from_dict, to_dict

NOISES = [
    noise.GaussianNoise(0.25),
    noise.LaplaceNoise(0.1),
    noise.UniformNoise(1.5),
    noise.SparseFlipNoise(0.05, 0.8),
    noise.AblationNoise(),
    noise.AblationNoise(torch.tensor([0.1, -2.0])),
    noise.AblationNoise(of="messages"),
    noise.AblationNoise(of="nodes"),
]
SELECTIONS = [
    selection.BernoulliSelection(0.81),
    selection.BernoulliSelection(torch.tensor([0.1, 1 / 3], dtype=torch.float64)),
    selection.FixedSizeSelection(7),
    selection.PartitionSelection(7, 3, 1),
    selection.PartitionSelection(7, 3, 1, dealing="shuffled"),
]


def same(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    return bool(left == right)


@pytest.mark.parametrize("component", [*NOISES, *SELECTIONS], ids=str)
def test_through_json_and_back(component: Any) -> None:
    settings = json.loads(json.dumps(to_dict(component)))
    build = noise_from_dict if isinstance(component, noise.Noise) else selection_from_dict
    back = build(settings)
    assert type(back) is type(component)
    assert vars(back).keys() == vars(component).keys()
    assert all(same(value, vars(back)[name]) for name, value in vars(component).items())


def test_files_of_version_0_1_say_neither_what_is_ablated_nor_how_groups_are_dealt() -> None:
    old = {"class": "PartitionSelection", "num_groups": 7, "num_partitions": 3, "seed": 1}
    back = selection_from_dict(old)
    assert isinstance(back, selection.PartitionSelection) and back.dealing == "shuffled"
    assert to_dict(back) == old
    assert to_dict(selection.PartitionSelection(7, 3, 1)) == {**old, "dealing": "blocks"}
    ablation: dict[str, Any] = {"class": "AblationNoise", "token": None}
    assert to_dict(noise_from_dict(ablation)) == ablation == to_dict(noise.AblationNoise())


def test_unknown_components() -> None:
    for name in ("Nothing", "Noise", "AdditiveNoise", "gaussian", "BernoulliSelection", 3):
        with pytest.raises(ValueError, match="unknown noise"):
            noise_from_dict({"class": name})
    for name in ("Selection", "RandomStream", "as_selection", "GaussianNoise"):
        with pytest.raises(ValueError, match="unknown selection"):
            selection_from_dict({"class": name})


class Blocked(selection.BernoulliSelection):
    """A selection from outside the package."""


class Opaque(noise.AblationNoise):
    def __init__(self, rule: object, forgotten: int = 0) -> None:
        super().__init__()
        self.rule = rule


def test_classes_of_the_user_go_by_their_modules() -> None:
    settings = json.loads(json.dumps(to_dict(Blocked(0.5))))
    assert settings == {"class": f"{__name__}.Blocked", "p": 0.5}
    assert type(selection_from_dict(settings)) is Blocked
    with pytest.raises(ValueError, match=r"unknown noise '.*\.Blocked': a class of your own must"):
        noise_from_dict(settings)


def test_a_class_of_the_user_never_stands_in_for_one_of_ours() -> None:
    class GaussianNoise(noise.GaussianNoise):
        pass

    assert type(noise_from_dict(to_dict(noise.GaussianNoise(0.5)))) is noise.GaussianNoise
    assert type(noise_from_dict(to_dict(GaussianNoise(0.5)))) is GaussianNoise


def test_the_latest_of_a_name_counts() -> None:
    def define() -> type[noise.GaussianNoise]:
        class Again(noise.GaussianNoise):
            pass

        return Again

    first, second = define(), define()
    assert first is not second and type(noise_from_dict(to_dict(first(0.5)))) is second


def test_reading_imports_nothing() -> None:
    for path in ("fractions.Fraction", "test_serialization.Missing", "os.system"):
        with pytest.raises(ValueError, match=f"unknown noise '{path}': a class of your own"):
            noise_from_dict({"class": path})


@pytest.mark.parametrize(("rule", "got"), [({"a": 1}, "dict"), (str, "type"), ([print], "list")])
def test_what_cannot_be_written(rule: object, got: str) -> None:
    with pytest.raises(ValueError, match=rf"'rule' must hold plain .* \(got {got}\)"):
        to_dict(Opaque(rule))
    with pytest.raises(ValueError, match=r"'forgotten' must hold plain .* \(got nothing\)"):
        to_dict(Opaque("rule"))
