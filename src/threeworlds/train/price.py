"""What a model of published size would cost: parameters, FLOPs, memory, device-hours. Nothing is allocated or run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

from threeworlds.types import PaperSize

DEVICE = "H100"
DEVICE_FLOPS = 989e12  # a second: bfloat16, dense, by the maker's data sheet
UTILISATION = 0.4  # the part of it that a well-tuned training reaches
BYTES = 20  # a parameter: weight, gradient, two moments of AdamW and the averaged weight, 4 bytes each
COLUMNS = ("size", "parameters (published)", "GFLOP a clip", "GB to train", "clips", "FLOPs", f"{DEVICE} hours")


@dataclass(frozen=True, kw_only=True)
class Price:
    """The bill of one training."""

    parameters: int
    published_parameters: float | None
    clip_flops: float  # forward and backward of one clip; multiply and add count apart
    memory_gb: float  # of training, without activations
    clips: float  # seen in the published training
    device_hours: float  # of a DEVICE at UTILISATION


def price(size: PaperSize) -> Price:
    """Build the model on the meta device, trace one training step, and extrapolate to the published training."""
    parameters, flops = _traced(size.build, size.loss)
    return Price(
        parameters=parameters,
        published_parameters=size.parameters,
        clip_flops=flops,
        memory_gb=BYTES * parameters / 1e9,
        clips=size.clips,
        device_hours=flops * size.clips / (DEVICE_FLOPS * UTILISATION) / 3600,
    )


@cache  # sizes may share a part
def _traced(build: Callable[[], Any], loss: Callable[[Any], Any]) -> tuple[int, float]:
    """Parameters, and FLOPs of a training step on one clip."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = build()
        with FlopCounterMode(display=False) as counter:
            loss(model).backward()
    return sum(p.numel() for p in model.parameters()), float(counter.get_total_flops())


def lines(bills: Mapping[str, Price]) -> Iterator[tuple[str, ...]]:
    """A price list under COLUMNS. After the parts of a size, which are called SIZE/PART, comes their sum."""
    for size, names in groupby(bills, key=lambda name: name.partition("/")[0]):
        parts = {name: bills[name] for name in names}
        yield from (_line(name, [bill]) for name, bill in parts.items())
        if len(parts) > 1:
            yield _line(f"{size}, all", list(parts.values()))


def _line(name: str, bills: list[Price]) -> tuple[str, ...]:
    published = [bill.published_parameters for bill in bills]
    known = [count for count in published if count is not None]
    single = bills[0] if len(bills) == 1 else None
    return (
        name,
        _counted(sum(bill.parameters for bill in bills), sum(known) if len(known) == len(bills) else None),
        f"{single.clip_flops / 1e9:,.0f}" if single else "",
        f"{sum(bill.memory_gb for bill in bills):,.1f}",
        f"{single.clips / 1e6:,.1f} M" if single else "",
        f"{sum(bill.clip_flops * bill.clips for bill in bills):.2g}",
        f"{sum(bill.device_hours for bill in bills):,.0f}",
    )


def _counted(parameters: float, published: float | None) -> str:
    """In millions, and by how much that is off."""
    if published is None:
        return f"{parameters / 1e6:,.0f} M (not given)"
    return f"{parameters / 1e6:,.0f} M ({published / 1e6:,.0f} M, {parameters / published - 1:+.0%})"
