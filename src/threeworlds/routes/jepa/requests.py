"""What a caller may ask of a model: frames of its size, and actions that it knows.

Checked here and nowhere else, so that every method says the same. Legend: b batch, t frames, a action size.
"""

from __future__ import annotations

from torch import Tensor

from threeworlds.types import ActionSpec, ClipSpec


def check_frames(name: str, frames: Tensor, spec: ClipSpec, *leading: str) -> None:
    """Raises ValueError unless ``frames`` is float [*leading, 3, h, w] of the model's size, as in ``"b", "t"``."""
    size = (3, spec.height, spec.width)
    sound = frames.dim() == len(leading) + 3 and tuple(frames.shape[-3:]) == size and 0 not in frames.shape[1:]
    if not sound or not frames.is_floating_point():
        raise ValueError(
            f"{name} {tuple(frames.shape)} of {_kind(frames)}: needs [{', '.join(leading)}, 3, h, w] of float in "
            f"[-1, 1], with frames of {size[1]} x {size[2]} pixels"
        )
    if not frames.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinity: needs float in [-1, 1]")


def check_actions(name: str, actions: Tensor, spec: ActionSpec, *leading: int) -> None:
    """Raises ValueError unless ``actions`` is [*leading] of a discrete set, or float [*leading, a] in [-1, 1]."""
    discrete = spec.kind == "discrete"
    needed = leading if discrete else (*leading, spec.size)
    allowed = f"whole numbers from 0 to {spec.size - 1}" if discrete else "float in [-1, 1]"
    if tuple(actions.shape) != needed or actions.is_floating_point() == discrete:
        raise ValueError(f"{name} {tuple(actions.shape)} of {_kind(actions)}: needs {needed} of {allowed}")
    known = (actions >= 0) & (actions < spec.size) if discrete else actions.abs() <= 1  # False for NaN
    if not known.all():
        raise ValueError(f"{name} holds {actions[~known][0].item():.6g}: needs {allowed}")


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
