"""The optimizer, its schedule and the average, against closed forms and torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from threeworlds.train.optim import (
    Average,
    build_optimizer,
    learning_rate,
    optimizer_tensors,
    restore_optimizer,
    trainable,
)
from threeworlds.types import Optim


def test_learning_rate_at_known_points() -> None:
    config = Optim(learning_rate=2.0, warmup=0.2, final=0.1)
    rates = [learning_rate(config, progress) for progress in (0.1, 0.2, 0.6, 1.0, 1.01)]
    assert rates == pytest.approx([1.0, 2.0, 2.0 * (0.1 + 0.9 / 2), 0.2, 0.2])
    assert learning_rate(config, 0.0) > 0
    assert learning_rate(Optim(warmup=0.0), 0.0) == Optim().learning_rate


def test_only_weights_with_axes_decay() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    optimizer = build_optimizer(trainable(module), Optim(weight_decay=0.5))
    for p in module.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    moved = {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"0.weight"}


def test_frozen_parameters_are_left_out() -> None:
    module = nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    assert set(trainable(module)) == {"weight"}


def test_restored_optimizer_takes_the_same_step() -> None:
    """Also where the weights lie in channels_last: the fused kernel reads memory in order."""
    torch.manual_seed(0)
    nets = [nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last) for _ in range(2)]
    optimizers = [build_optimizer(trainable(net), Optim()) for net in nets]
    x = torch.randn(2, 3, 6, 6)

    def step(which: int) -> None:
        optimizers[which].zero_grad()
        nets[which](x).square().sum().backward()
        optimizers[which].step()

    step(0)
    nets[1].load_state_dict(nets[0].state_dict())
    saved = {k: v.clone().contiguous() for k, v in optimizer_tensors(optimizers[0], trainable(nets[0])).items()}
    restore_optimizer(optimizers[1], trainable(nets[1]), saved)
    step(0)
    step(1)
    assert torch.equal(nets[0].weight, nets[1].weight)
    assert torch.equal(nets[0].bias, nets[1].bias)


def test_average_equals_torch_after_its_warm_up() -> None:
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    theirs = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    theirs.update_parameters(net)  # its first update copies
    ours = Average(trainable(net), 0.9)
    for step in range(100, 105):
        with torch.no_grad():
            net.weight.add_(torch.randn_like(net.weight))
        ours.update(step)
        theirs.update_parameters(net)
    torch.testing.assert_close(ours.weights["weight"], theirs.module.weight.detach())


def test_average_forgets_the_first_weights_soon() -> None:
    net = nn.Linear(1, 1, bias=False)
    net.weight.data.fill_(0.0)
    average = Average(trainable(net), 0.998)
    net.weight.data.fill_(1.0)
    for step in range(1, 51):
        average.update(step)
    assert average.weights["weight"].item() > 0.99


def test_average_of_zero_is_the_weights_and_is_applied_only_within() -> None:
    net = nn.Linear(2, 2)
    average, follows = Average(trainable(net), 0.9), Average(trainable(net), 0.0)
    old, new = net.weight.detach().clone(), torch.full((2, 2), 3.0)
    net.weight.data.copy_(new)
    follows.update(1)
    assert torch.equal(follows.weights["weight"], new)
    with average.applied():
        assert torch.equal(net.weight, old)
    assert torch.equal(net.weight, new)
