"""A greedy attacker within budget never changes a certified vote.

Targets lie so far apart that no attacked row reaches another target through the two layers of the
GCN, so one perturbed graph holds many attacks. Fresh votes contradict a certificate if another
class has more votes than a fair coin between the two would give with probability 1e-6 over all
targets.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from scipy.stats import binom
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import k_hop_subgraph

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.datasets import load_dataset, split_nodes
from pyg_hiersmooth.models import build_model
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise, SparseFlipNoise
from pyg_hiersmooth.training import train_node_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

ADDITIONS, DELETIONS = 1, 4


class Setting(NamedTuple):
    data: Data
    smoothed: SmoothedNodeClassifier
    certificate: Certificate


@pytest.fixture(
    scope="module", params=["CitationSBM", pytest.param("Cora", marks=pytest.mark.slow)]
)
def data(request: pytest.FixtureRequest) -> Data:
    root = "unused"
    if request.param == "Cora":
        root = request.getfixturevalue("data_root")
    return load_dataset(request.param, root)[0]


def trained(data: Data, transform: HierarchicalNodeFeatureNoise) -> Setting:
    num_classes = int(data.y.max()) + 1
    split = split_nodes(data.y, seed=0)
    torch.manual_seed(0)
    model = build_model("gcn", data.num_features + 1, num_classes)
    train_node_classifier(
        model, data, split, transform, lr=1e-2, max_epochs=60, patience=60, progress=False
    )
    smoothed = SmoothedNodeClassifier(model, transform, num_classes)
    certificate = smoothed.certify(data, 200, 1_000, node_index=split.test_index, progress=False)
    return Setting(data, smoothed, certificate)


def far_apart(data: Data, nodes: Tensor) -> list[int]:
    chosen: list[int] = []
    blocked = torch.zeros(data.num_nodes, dtype=torch.bool)
    for node in nodes.tolist():
        if not blocked[node]:
            chosen.append(node)
            reached = k_hop_subgraph(node, 2, data.edge_index, num_nodes=data.num_nodes)[0]
            blocked[reached] = True
    return chosen


def margin_gradient(setting: Setting, targets: Tensor, labels: Tensor) -> Tensor:
    """Mean gradient over noisy draws of how far the predicted class is ahead of the next."""
    data, model = setting.data, setting.smoothed.model
    total = torch.zeros_like(data.x)
    for seed in range(8):
        torch.manual_seed(seed)
        x = setting.smoothed.transform(data).x.requires_grad_()
        logits = model(x, data.edge_index)[targets]
        ours = logits.gather(1, labels.view(-1, 1)).sum()
        rival = logits.scatter(1, labels.view(-1, 1), -torch.inf).max(dim=1).values.sum()
        (gradient,) = torch.autograd.grad(ours - rival, x)
        total += gradient[:, : data.num_features]
    return total


def flip_words(x: Tensor, gradient: Tensor) -> Tensor:
    """Deletes the words that help the prediction most, and adds those that hurt it most."""
    attacked = x.clone()
    helpful = (gradient * x).topk(DELETIONS, dim=1)
    attacked.scatter_(1, helpful.indices, 0.0)
    harmful = (-gradient * (1 - x)).topk(ADDITIONS, dim=1)
    return attacked.scatter_(1, harmful.indices, 1.0)


def imitate(x: Tensor, gradient: Tensor) -> Tensor:
    """Replaces whole rows by the 30 most harmful words."""
    return torch.zeros_like(x).scatter_(1, (-gradient).topk(30, dim=1).indices, 1.0)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("noise", "budget", "attack"),
    [
        (AblationNoise(), {}, imitate),
        (
            SparseFlipNoise(0.01, 0.8),
            dict(additions=ADDITIONS, deletions=DELETIONS),
            flip_words,
        ),
    ],
    ids=["ablation", "flips"],
)
def test_no_certified_vote_is_changed(
    data: Data,
    noise: SparseFlipNoise | AblationNoise,
    budget: dict[str, int],
    attack: Callable[[Tensor, Tensor], Tensor],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    setting = trained(data, HierarchicalNodeFeatureNoise(0.85, noise))
    certificate = setting.certificate
    robust = torch.from_numpy(certificate.is_robust(r=1, **budget))
    decided = torch.from_numpy(certificate.prediction >= 0)
    index = torch.from_numpy(certificate.index)
    order = torch.cat([index[robust], index[decided & ~robust]])
    targets = torch.tensor(far_apart(data, order))
    labels = torch.full((data.num_nodes,), -1)
    labels[index] = torch.from_numpy(certificate.prediction)
    labels = labels[targets]

    attacked = copy.copy(data)
    attacked.x = data.x.clone()
    attacked.x[targets] = attack(
        data.x[targets], margin_gradient(setting, targets, labels)[targets]
    )
    votes = setting.smoothed.sample_votes(attacked, 1_000, 1, targets, progress=False)
    ours = votes.gather(1, labels.view(-1, 1)).view(-1)
    rival = votes.scatter(1, labels.view(-1, 1), -1).max(dim=1).values
    certified = torch.isin(targets, index[robust])
    surprise = binom.sf(rival.numpy() - 1, (ours + rival).numpy(), 0.5)
    changed = rival > ours
    with capsys.disabled():
        print(
            f"\n{noise}: {int(certified.sum())} certified nodes attacked, "
            f"{int((changed & certified).sum())} votes changed; {int((~certified).sum())} others, "
            f"{int((changed & ~certified).sum())} changed"
        )
    assert int(certified.sum()) >= 10
    assert not (surprise[certified.numpy()] < 1e-6 / len(targets)).any()
    assert bool((changed & ~certified).any()), "the attack has no force"
