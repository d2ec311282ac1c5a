"""Two networks against each other under one loss: who is moved by what."""

import torch

from threeworlds.nn.adversary import frozen, steepness


class Quadratic(torch.nn.Module):
    """w |x|^2 / 2, whose gradient is w x."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        return self.weight * x.square().sum(1) / 2


def test_the_one_who_is_judged_is_moved_and_the_judge_is_not():
    critic, x = Quadratic(), torch.tensor([[1.0, 2.0]], requires_grad=True)
    answer = frozen(critic)(x)
    assert answer.item() == critic(x).item() == 7.5
    answer.sum().backward()
    assert critic.weight.grad is None
    assert x.grad.tolist() == [[3.0, 6.0]]


def test_steepness_is_the_squared_norm_of_the_gradient():
    torch.manual_seed(0)
    x = torch.tensor([[1.0, 2.0]]).expand(40_000, 2)
    critic = Quadratic()
    assert abs(steepness(critic, critic(x), x, step=1e-3).item() / 45 - 1) < 0.03  # |3 (1, 2)|^2 = 45
