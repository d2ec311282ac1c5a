"""Has a latent action model collapsed, or a tokenizer not formed? Asked in training, and said aloud.

Of latent actions three signs, none of which the loss shows: few codes in use, no gain over copying the last frame, and
frames that come out as well under another step's code as under their own. Of a tokenizer, once it is trained: one token
nearly everywhere. Legend: b batch, k codes, t frames, n places.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from torch import Tensor

logger = logging.getLogger("threeworlds.train")

LEAST: Mapping[str, float] = {"usage": 0.5, "gain_over_copy": 0.05, "right_code_wins": 0.6}
WORDS: Mapping[str, str] = {
    "usage": "few codes are in use (entropy {:.2f} of the most it could be)",
    "gain_over_copy": "it is no better than copying the last frame (gain {:.2f})",
    "right_code_wins": "another step's code explains a frame as well as its own (right one wins {:.2f}, chance 0.50)",
}
PATIENCE = 400  # steps before anything is said, and between one warning and the next
MEMORY = 0.98  # of the running means
ONE_TOKEN = 0.99  # of the places, at most: with more in one token there is nothing for the dynamics to learn


def signs(own: Tensor, other: Tensor, copy: Tensor) -> dict[str, Tensor]:
    """From squared errors [b] under the step's own code, under another step's, and of copying the last frame."""
    gain = 1 - own.mean() / copy.mean().clamp_min(1e-8)
    wins = ((own < other).float() + 0.5 * (own == other).float()).mean()
    return {"gain_over_copy": gain.detach(), "right_code_wins": wins.detach()}


def collapsed(signs: Mapping[str, float]) -> list[str]:
    """What is wrong, in words; nothing if all is well."""
    return [WORDS[name].format(value) for name, value in signs.items() if name in LEAST and value < LEAST[name]]


def watch_tokens(tokens: Tensor) -> None:
    """Warn where a trained tokenizer calls nearly everything the same. tokens [b, t, n]."""
    share = tokens.flatten().bincount().max() / tokens.numel()
    if share > ONE_TOKEN:
        logger.warning(
            "tokens have collapsed or not formed: one of them is in %.1f %% of the places, so worlds made of them "
            "stand still; the tokenizer needs more training",
            100 * share,
        )


class CollapseWatch:
    """Running means of the signs. Warns once they have had time to rise, and again while they have not.

    A run that is resumed gives them that time anew. So nothing that is kept of a run may hang on them: its metrics hold
    the signs of each step.
    """

    def __init__(self, advice: str = "") -> None:
        """``advice``: said after what is wrong."""
        self.steps, self.advice = 0, advice and f"; {advice}"
        self.means: dict[str, float] = {}

    def look(self, signs: Mapping[str, Tensor]) -> None:
        """One training step's signs."""
        self.steps += 1
        for name, value in signs.items():
            self.means[name] = MEMORY * self.means.get(name, float(value)) + (1 - MEMORY) * float(value)
        wrong = collapsed(self.means)
        if wrong and self.steps % PATIENCE == 0:
            signs_of_it = "; ".join(wrong)
            logger.warning(
                "latent actions have collapsed or not formed after %d steps: %s%s", self.steps, signs_of_it, self.advice
            )
