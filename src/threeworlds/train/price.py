"""What a model of published size would cost: parameters, FLOPs, memory, device-hours. Nothing is allocated or run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from threeworlds.types import PaperSize

DEVICE = "H100"
DEVICE_FLOPS = 989e12  # a second: bfloat16, dense, by the maker's data sheet
UTILISATION = 0.4  # the part of it that a well-tuned training reaches
BYTES = 20  # a parameter: weight, gradient, two moments of AdamW and the averaged weight, 4 bytes each


@dataclass(frozen=True, kw_only=True)
class Price:
    """The bill of one training."""

    parameters: int
    published_parameters: float
    clip_flops: float  # forward and backward of one clip; multiply and add count apart
    memory_gb: float  # of training, without activations
    clips: float  # seen in the published training
    device_hours: float  # of a DEVICE at UTILISATION


def price(size: PaperSize) -> Price:
    """Build the model on the meta device, trace one training step, and extrapolate to the published training."""
    with torch.device("meta"):
        model = size.build()
        with FlopCounterMode(display=False) as counter:
            size.loss(model).backward()
    parameters = sum(p.numel() for p in model.parameters())
    flops = float(counter.get_total_flops())
    return Price(
        parameters=parameters,
        published_parameters=size.parameters,
        clip_flops=flops,
        memory_gb=BYTES * parameters / 1e9,
        clips=size.clips,
        device_hours=flops * size.clips / (DEVICE_FLOPS * UTILISATION) / 3600,
    )
