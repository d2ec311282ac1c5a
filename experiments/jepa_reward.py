"""Reward, value and actor on the frozen states of a model that is kept: only the three heads are trained.

python experiments/jepa_reward.py zoo/arena-jepa-base --budget 4m --out runs/reward-base
threeworlds score runs/reward-base --world arena --option shapes=1 --questions reward --items 20 --seed 123 --out DIR
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from torch import nn

from threeworlds.routes.jepa.model import Jepa, agent_stages
from threeworlds.routes.jepa.recipes import JepaConfig, RewardConfig
from threeworlds.routes.jepa.route import ROUTE
from threeworlds.score.clips import generate
from threeworlds.train import Budget, load_model, train_route, use_machine
from threeworlds.types import ClipSpec, Stage


def main() -> None:
    """Make clips, train the heads, keep the whole model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--budget", default="4m")
    parser.add_argument("--episodes", type=int, default=400)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    use_machine()
    known, card = load_model(asked.checkpoint)
    size, clips = card.spec.height, asked.out / "clips"
    store = generate(card.spec.world, clips, episodes=asked.episodes, seed=0, size=size, options={"shapes": "1"})

    def build(config: JepaConfig, spec: ClipSpec) -> nn.Module:
        model = Jepa(config, spec)
        model.load_state_dict(known.state_dict(), strict=False)
        return model

    def stages(model: nn.Module) -> list[Stage]:
        assert isinstance(model, Jepa)
        return [replace(stage, share=1.0) for stage in agent_stages(model)]

    train_route(
        replace(ROUTE, build=build, stages=stages),
        recipe="reward",
        config=replace(card.config, reward=RewardConfig()),
        store=store,
        budget=Budget.parse(asked.budget),
        out=asked.out,
    )


if __name__ == "__main__":
    main()
