"""Attackers who may write anything into a few nodes, against exact certificates.

Votes over masks are known, so one vote that a certified node loses would refute the certificate.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.certificates import Certificate, CollectiveCertificate
from pyg_hiersmooth.datasets import load_dataset, split_nodes
from pyg_hiersmooth.models import build_model
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection
from pyg_hiersmooth.training import train_node_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

SELECTION = PartitionSelection(10, 3)
STRENGTH, STEPS = 30.0, 3
CANDIDATES = 4


class Setting(NamedTuple):
    """The model behind its first linear map, so that an attack costs as little as a vote."""

    data: Data
    behind: torch.nn.Module
    weight: Tensor
    masks: Tensor
    certificate: Certificate
    field: np.ndarray

    @property
    def hidden(self) -> Tensor:
        """What the clean features are behind the first map, ``[N, H]``."""
        return self.data.x @ self.weight[:, :-1].t()


@pytest.fixture(
    scope="module", params=["CitationSBM", pytest.param("Cora", marks=pytest.mark.slow)]
)
def setting(request: pytest.FixtureRequest) -> Setting:
    root = request.getfixturevalue("data_root") if request.param == "Cora" else "unused"
    data = load_dataset(request.param, root)[0]
    num_classes = int(data.y.max()) + 1
    split = split_nodes(data.y, seed=0)
    torch.manual_seed(0)
    model: torch.nn.Module = build_model("gcn", data.num_features + 1, num_classes)
    masked = HierarchicalNodeFeatureNoise(BernoulliSelection(0.9), AblationNoise())
    train_node_classifier(
        model, data, split, masked, lr=1e-2, max_epochs=60, patience=60, progress=False
    )
    smoothed = SmoothedNodeClassifier(
        model, HierarchicalNodeFeatureNoise(SELECTION, AblationNoise()), num_classes
    )
    targets = split.test_index
    certificate = smoothed.certify(data, node_index=targets, progress=False, num_workers=0)
    masks = torch.stack([SELECTION.mask(i, [data.num_nodes]) for i in range(SELECTION.num_masks)])
    field = smoothed.receptive_field(data, targets).toarray()
    behind: Any = model.eval().requires_grad_(False)
    weight = behind.conv1.lin.weight
    behind.conv1.lin = torch.nn.Identity()
    behind.conv1.cached = behind.conv2.cached = True
    return Setting(data, behind, weight, masks, certificate, field)


def logits(setting: Setting, hidden: Tensor, mask: Tensor) -> Tensor:
    seen = torch.where(mask.view(-1, 1), setting.weight[:, -1], hidden)
    answers: Tensor = setting.behind(seen, setting.data.edge_index)
    return answers[torch.from_numpy(setting.certificate.index)]


def still_predicted(setting: Setting, hidden: Tensor) -> np.ndarray:
    """Which targets have their certified class as the only majority of all masks."""
    answers = torch.stack([logits(setting, hidden, mask).argmax(1) for mask in setting.masks])
    votes = torch.nn.functional.one_hot(answers, int(setting.data.y.max()) + 1).sum(0).numpy()
    ours = np.take_along_axis(votes, setting.certificate.prediction[:, None], 1)[:, 0]
    np.put_along_axis(votes, setting.certificate.prediction[:, None], -1, 1)
    return np.asarray(ours > votes.max(1))


def lead_gradient(setting: Setting, hidden: Tensor, wanted: np.ndarray) -> Tensor:
    """How the lead of the certified classes of some targets moves, over masks that still vote so:
    as a direction of features, ``[N, D]``, behind the first map, ``[N, H]``.
    """
    labels = torch.from_numpy(setting.certificate.prediction).clamp(min=0).view(-1, 1)
    chosen, free = torch.from_numpy(wanted), hidden.clone().requires_grad_()
    for mask in setting.masks:
        answers = logits(setting, free, mask)
        lead = answers.gather(1, labels) - answers.scatter(1, labels, -torch.inf).amax(1, True)
        lead.view(-1)[chosen].clamp(min=0).sum().backward()
    assert free.grad is not None
    return free.grad


def rewrite(setting: Setting, hidden: Tensor, nodes: list[int], wanted: np.ndarray) -> Tensor:
    """Writes what hurts most into all features of the nodes: some real numbers."""
    hidden, words = hidden.clone(), setting.weight[:, :-1]
    for _ in range(STEPS):
        gradient = lead_gradient(setting, hidden, wanted)[nodes] @ words
        step = STRENGTH * gradient / gradient.norm(dim=1, keepdim=True).clamp(min=1e-12)
        hidden[nodes] -= step @ words.t()
    return hidden


@pytest.mark.one_in(2)
@pytest.mark.parametrize("r", [1, 3])
def test_no_certified_node_falls_to_a_greedy_attack(
    setting: Setting, r: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each target is attacked through the nodes that its lead depends on most, r of them; targets
    whose receptive fields have no node in common are attacked at once.
    """
    decided = ~setting.certificate.abstained
    certified = setting.certificate.is_robust(r=r)
    gradient = lead_gradient(setting, setting.hidden, decided).norm(dim=1).numpy()
    fell = {True: 0, False: 0}
    tried = {True: 0, False: 0}
    for wanted in (certified, decided & ~certified):
        left = np.flatnonzero(wanted)[:24]
        while len(left) > 0:
            together: list[int] = []
            taken = np.zeros(setting.data.num_nodes, dtype=bool)
            for target in left:
                if not (taken & setting.field[target]).any():
                    together.append(target)
                    taken |= setting.field[target]
            left = np.setdiff1d(left, together)
            nodes = [
                node
                for target in together
                for node in np.argsort(-gradient * setting.field[target])[:r].tolist()
                if setting.field[target, node]
            ]
            at_once = np.isin(np.arange(len(decided)), together)
            stays = still_predicted(setting, rewrite(setting, setting.hidden, nodes, at_once))
            which = bool(certified[together[0]])
            fell[which] += int((~stays & at_once).sum())
            tried[which] += len(together)
    with capsys.disabled():
        print(
            f"\n{setting.data.num_nodes} nodes, r={r}: {fell[True]} of {tried[True]} certified "
            f"targets fell, {fell[False]} of {tried[False]} others"
        )
    assert fell[True] == 0 and tried[True] >= 20
    assert fell[False] > 0, "the attack has no force"


@pytest.mark.slow
def test_one_attack_fells_no_more_than_the_collective_certificate_says(
    setting: Setting, capsys: pytest.CaptureFixture[str]
) -> None:
    """Greedy: in each step, of the nodes that most leads depend on, the one that fells most."""
    collective = CollectiveCertificate(setting.certificate, setting.field)
    decided = ~setting.certificate.abstained
    hidden, stays = setting.hidden, decided
    nodes: list[int] = []
    for r in range(1, 6):
        influence = lead_gradient(setting, hidden, stays & decided).norm(dim=1)
        influence *= torch.from_numpy(setting.field[stays & decided].sum(0))
        influence[nodes] = 0.0
        attacks = []
        for node in influence.topk(CANDIDATES).indices.tolist():
            changed = rewrite(setting, hidden, [*nodes, node], stays & decided)
            attacks.append((still_predicted(setting, changed), changed, node))
        stays, hidden, node = min(attacks, key=lambda attack: int((attack[0] & decided).sum()))
        nodes.append(node)
        most = int(decided.sum()) - collective.num_robust(r, time_limit=5.0)
        fallen = int((decided & ~stays).sum())
        with capsys.disabled():
            print(f"\n{len(stays)} nodes, r={r}: {fallen} targets fell, at most {most} can")
        assert fallen <= most
    assert fallen > 0, "the attack has no force"
