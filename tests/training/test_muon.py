"""Muon: its steps against the singular value decomposition."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from training.muon import STEP_SIZE, Muon, orthogonalised  # noqa: E402
from training.network import Architecture, StripNet  # noqa: E402
from training.train import Plan, learner_of  # noqa: E402

pytestmark = pytest.mark.training
SHAPES = [(6, 40), (40, 6), (24, 24)]


def matrix(rows: int, columns: int) -> torch.Tensor:
    """A matrix of singular values from 1 to .1."""
    left, values, right = torch.linalg.svd(
        torch.randn(rows, columns, generator=torch.Generator().manual_seed(5)), full_matrices=False
    )
    return left @ torch.diag(torch.logspace(0, -1, len(values))) @ right


@pytest.mark.parametrize("shape", SHAPES)
def test_all_directions_come_out_alike(shape: tuple[int, int]) -> None:
    given = matrix(*shape)
    left, _, right = torch.linalg.svd(given, full_matrices=False)
    inside = left.T @ orthogonalised(given) @ right.T
    assert float(inside.diagonal().min()) > 0.67
    assert float(inside.diagonal().max()) < 1.22
    torch.testing.assert_close(
        inside - torch.diag(inside.diagonal()), torch.zeros_like(inside), atol=1e-4, rtol=0
    )


def test_the_size_of_the_gradient_does_not_count() -> None:
    given = matrix(8, 30)
    torch.testing.assert_close(orthogonalised(1e-4 * given), orthogonalised(given), atol=1e-3,
                               rtol=0)  # fmt: skip


def test_a_gradient_of_nothing_changes_nothing() -> None:
    assert not orthogonalised(torch.zeros(4, 9)).any()


@pytest.mark.parametrize("shape", [(8, 4, 3, 3, 3), (16, 8, 1, 1, 1)])
def test_a_steps_root_mean_square_is_that_of_its_rate(shape: tuple[int, ...]) -> None:
    weight = torch.nn.Parameter(torch.zeros(shape))
    weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    Muon([weight], lr=0.01).step()
    size = float(weight.detach().square().mean().sqrt())
    assert size == pytest.approx(0.01 * STEP_SIZE, rel=0.25)
    assert float((weight.detach() * weight.grad).sum()) < 0


def test_momentum_is_kept_and_looked_ahead_of() -> None:
    """Three steps of changing gradients beside the formula, written out."""
    rng = torch.Generator().manual_seed(4)
    start = torch.randn((6, 2, 3, 3, 3), generator=rng)
    gradients = [torch.randn(start.shape, generator=rng) for _ in range(3)]
    weight = torch.nn.Parameter(start.clone())
    muon = Muon([weight], lr=0.1, momentum=0.8)
    for gradient in gradients:
        weight.grad = gradient.clone()
        muon.step()
    first, second, third = gradients
    kept = [0.2 * first]
    kept.append(0.8 * kept[0] + 0.2 * second)
    kept.append(0.8 * kept[1] + 0.2 * third)
    moved = sum(
        orthogonalised((0.8 * one + 0.2 * gradient).reshape(6, 54))
        for one, gradient in zip(kept, gradients, strict=True)
    )
    expected = start - 0.1 * STEP_SIZE * 54**0.5 * moved.reshape(start.shape)
    torch.testing.assert_close(weight.detach(), expected)


def test_a_direction_of_small_gradients_is_learned_as_fast() -> None:
    """A bowl along axes that are none of the weight's, with gradients of 100 to 1."""
    turn = torch.linalg.qr(torch.randn(2, 2, generator=torch.Generator().manual_seed(6))).Q
    steep = torch.tensor([[1.0, 0.0], [0.0, 0.1]]) @ turn
    start = turn.T @ torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    weight = torch.nn.Parameter(start.clone())
    muon = Muon([weight], lr=0.05)
    for _ in range(10):
        muon.zero_grad()
        (steep @ weight).square().sum().backward()
        muon.step()
    left = turn @ weight.detach()
    moved = 1 - left * torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    assert float(moved.min()) > 0.05
    assert float(moved.max() / moved.min()) < 1.5


def test_the_loss_of_a_closure_comes_back() -> None:
    weight = torch.nn.Parameter(torch.eye(3))

    def closure() -> float:
        loss = weight.square().sum()
        loss.backward()
        return loss.item()

    assert Muon([weight], lr=0.1).step(closure) == 3.0
    assert not torch.equal(weight.detach(), torch.eye(3))


def test_weights_of_one_axis_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\) is no matrix"):
        Muon([torch.nn.Parameter(torch.ones(3))], lr=0.1)


def test_weight_decay_is_apart_from_the_gradient() -> None:
    start = torch.ones(3, 4)
    weights = [torch.nn.Parameter(start.clone()) for _ in range(2)]
    for weight, decay in zip(weights, (0.0, 0.1), strict=True):
        weight.grad = torch.arange(12.0).reshape(3, 4)
        Muon([weight], lr=0.5, weight_decay=decay).step()
    apart = weights[0].detach() - weights[1].detach()
    torch.testing.assert_close(apart, 0.5 * 0.1 * start)


def test_a_weight_without_gradient_stays() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 2))
    Muon([weight], lr=1.0, weight_decay=0.5).step()
    assert bool((weight == 1).all())


@pytest.mark.parametrize("muon", [True, False])
def test_every_weight_learns_from_one_of_the_two(muon: bool) -> None:
    plan = Plan(Path(), Path(), hidden_rate=3.0, muon=muon)
    net = StripNet(Architecture(widths=(4, 6, 8, 8)))
    learner = learner_of(plan, net)
    groups = list(learner.groups)
    held = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(held) == sorted(id(weight) for weight in net.parameters())
    assert [group["times"] for group in groups] == [3.0, 1.0, plan.detail_rate]
    kinds = [Muon, torch.optim.AdamW] if muon else [torch.optim.AdamW]
    assert [type(one) for one in learner.optimisers] == kinds
    hidden = {id(weight) for weight in groups[0]["params"]}
    names = {name for name, weight in net.named_parameters() if id(weight) in hidden}
    assert "encoders.3.1.second.weight" in names
    assert {name.split(".")[0] for name in names} == {"encoders", "decoders", "downs", "ups"}
    assert all(name.endswith("weight") and "norm" not in name for name in names)
