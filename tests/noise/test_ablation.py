from __future__ import annotations

import numpy as np
import pytest
import torch

from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.random import RandomStream

SELECTED = torch.tensor([True, False, True, False])
STREAM = RandomStream(0)


@pytest.mark.parametrize("token", [None, torch.tensor([5.0, -1.0, 0.5])])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_selected_rows_become_the_token(token: torch.Tensor | None, dtype: torch.dtype) -> None:
    x = torch.rand(4, 3).to(dtype)
    before = x.clone()
    noise = AblationNoise(token)
    out = noise.sample(x, SELECTED, STREAM)
    expected = torch.zeros(3) if token is None else token
    assert torch.equal(x, before)
    assert out.dtype == dtype
    assert torch.equal(out[SELECTED], expected.to(dtype).expand(2, -1))
    assert torch.equal(out[~SELECTED], x[~SELECTED])

    weight = torch.rand(3, 5).to(dtype)
    draw = noise.sample_projected(x, weight)
    for selected in (SELECTED, ~SELECTED, SELECTED & ~SELECTED, SELECTED | ~SELECTED):
        dense = noise.sample(x, selected, STREAM) @ weight
        torch.testing.assert_close(draw(selected, STREAM), dense)


def test_integer_features_keep_their_dtype() -> None:
    x = torch.arange(12).view(4, 3)
    out = AblationNoise().sample(x, SELECTED, STREAM)
    assert out.dtype == x.dtype
    assert torch.equal(out[~SELECTED], x[~SELECTED]) and not out[SELECTED].any()


def test_least_mass_is_the_mass_itself() -> None:
    mass = np.linspace(0.0, 1.0, 11)
    assert np.array_equal(AblationNoise().lower_bound(mass), mass)
    assert np.array_equal(AblationNoise().upper_bound(mass), 1.0 - (1.0 - mass))


def test_there_is_no_budget() -> None:
    with pytest.raises(TypeError, match=r"no budget besides 'r' \(got 'eps'\)"):
        AblationNoise().lower_bound(0.9, eps=0.1)


def test_the_token_is_one_finite_row() -> None:
    for token in (torch.zeros(2, 2), torch.tensor(1.0), torch.tensor([float("nan")])):
        with pytest.raises(ValueError, match="'token' must be one row"):
            AblationNoise(token)
    noise = AblationNoise(torch.zeros(2))
    with pytest.raises(ValueError, match=r"'token' must have the 3 features of 'x' .got 2"):
        noise.sample(torch.zeros(4, 3), SELECTED, STREAM)
    with pytest.raises(ValueError, match=r"'token' must have the 3 features of 'x' .got 2"):
        noise.sample_projected(torch.zeros(4, 3), torch.zeros(3, 1))


def test_the_token_is_a_copy() -> None:
    token = torch.ones(3)
    noise = AblationNoise(token)
    token.zero_()
    assert noise.sample(torch.zeros(4, 3), SELECTED, STREAM)[0].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("of", ["messages", "nodes"])
def test_features_stay_where_structure_is_ablated(of: str) -> None:
    x, weight = torch.rand(4, 3), torch.rand(3, 5)
    noise = AblationNoise(of=of)
    out = noise.sample(x, SELECTED, STREAM)
    assert torch.equal(out, x) and out.data_ptr() != x.data_ptr()
    draw = noise.sample_projected(x, weight)
    draw(SELECTED, STREAM).zero_()  # draws are tensors of their own
    assert torch.equal(draw(SELECTED, STREAM), x @ weight)
    assert noise.of == of and noise.lower_bound(0.3) == 0.3


def test_what_can_be_ablated() -> None:
    for of in ("edges", None, 1):
        message = r"'of' must be one of 'features', 'messages', 'nodes' \(got"
        with pytest.raises(ValueError, match=message):
            AblationNoise(of=of)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'token' replaces ablated features .*of='messages'"):
        AblationNoise(torch.zeros(2), of="messages")
    assert AblationNoise().of == AblationNoise(torch.zeros(2), of="features").of == "features"


def test_repr() -> None:
    assert repr(AblationNoise(of="messages")) == "AblationNoise(of='messages')"
    assert repr(AblationNoise()) == "AblationNoise()"
    assert repr(AblationNoise([1.0, 2.0])) == "AblationNoise(token=[2])"  # type: ignore[arg-type]


def test_the_adversaries_of_what_is_ablated() -> None:
    features, messages, nodes = (AblationNoise(of=of) for of in ("features", "messages", "nodes"))
    assert features.threat("pixels").startswith("the features of at most r pixels change to any")
    assert "other nodes" in messages.threat() and "not covered" in messages.threat()
    assert "added at the end" in nodes.threat()
    assert [noise.fixes_graph for noise in (features, messages, nodes)] == [True, False, False]
    assert [noise.spares_target for noise in (features, messages, nodes)] == [False, True, False]
