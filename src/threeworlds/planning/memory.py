"""Short-term memory of a planner: where its plans should have led and did not.

A world model that believes a wall to be open plans through it, is stopped, and plans the same again for ever. It need
not: what was expected is known, and so is what is seen instead. States that were expected and did not come are kept,
and later plans pay for passing near them. In LeCun's architecture (2022, openreview BZ5a1r-kVsf) this is the short-term
memory; as a list of what not to try again it is tabu search (Glover 1989).

Legend: b episodes, d state, m states kept, n plans, t steps of a plan.
"""

from __future__ import annotations

import torch
from torch import Tensor

WRONG = 0.3  # strides, for each step taken, between what was expected and what is seen: more is a refutation
AWAY = 0.2  # strides, for each step taken, from what is seen: nearer states are no part of what was refuted
NEAR = 1.5  # strides from a refuted state: a plan that passes nearer pays


class Memory:
    """Of ``b`` episodes at once, each of which remembers its own."""

    def __init__(self, *, taken: int, kept: int, doubt: float) -> None:
        """
        Args:
            taken: steps of each plan that are executed before the next.
            kept: refuted states of each episode, the latest.
            doubt: cost of a state that was refuted, in the unit of the planner's cost.
        """
        if taken < 1 or kept < 1:
            raise ValueError(f"taken={taken}, kept={kept}: both are at least 1")
        self.taken, self.kept, self.doubt = taken, kept, doubt
        self.expected: Tensor | None = None  # [b, taken, d], from the last plan
        self.refuted: Tensor | None = None  # [b, m, d]; infinitely far away where there is none

    def compare(self, now: Tensor, stride: Tensor) -> Tensor:
        """What is seen, [b, d], with what was expected; a stride [b] is how far one step leads. Refuted or not, [b]."""
        if self.expected is None:
            return torch.zeros(len(now), dtype=torch.bool, device=now.device)
        if len(now) != len(self.expected):
            raise ValueError(f"{len(now)} episodes, and memory of {len(self.expected)}: a memory is of the same ones")
        off = (self.expected - now[:, None]).norm(dim=-1) / stride[:, None]  # [b, taken]
        wrong = off[:, -1] > WRONG * self.taken
        refuted = wrong[:, None] & (off > AWAY * self.taken)
        new = torch.where(refuted[..., None], self.expected, torch.inf)
        old = () if self.refuted is None else (self.refuted,)
        self.refuted = latest(torch.cat([new, *old], dim=1), self.kept)
        return wrong

    def cost(self, ahead: Tensor, stride: Tensor) -> Tensor:
        """Of imagined states [b, n, t, d], summed over the steps: [b, n]."""
        if self.refuted is None:
            return ahead.new_zeros(ahead.shape[:2])
        known = self.refuted.isfinite().all(-1)  # [b, m]
        apart = torch.cdist(ahead.flatten(1, 2), self.refuted.nan_to_num(posinf=0.0))
        nearest = apart.masked_fill(~known[:, None], torch.inf).amin(-1).unflatten(1, ahead.shape[1:3])
        return self.doubt * (1 - nearest / (NEAR * stride[:, None, None])).relu().sum(-1)

    def expect(self, ahead: Tensor) -> None:
        """The states [b, t, d], t at least ``taken``, that the chosen plan leads to."""
        if ahead.shape[1] < self.taken:
            raise ValueError(f"a plan of {ahead.shape[1]} steps, of which {self.taken} are to be taken")
        self.expected = ahead[:, : self.taken]


def latest(refuted: Tensor, count: int) -> Tensor:
    """The first ``count`` of [b, m, d] that are there: what is infinitely far away takes no place of one that is."""
    order = refuted.isinf().any(-1).int().argsort(dim=1, stable=True)[:, :count]
    return refuted.gather(1, order[..., None].expand(-1, -1, refuted.shape[-1]))
