"""The price of a published size: counted by hand where that can be done, and every size of every route builds."""

import pytest
import torch
from torch import nn

from threeworlds.routes import ROUTES, get_route
from threeworlds.train.price import BYTES, DEVICE_FLOPS, UTILISATION, price
from threeworlds.types import PaperSize

SIZES = [(route, name) for route in ROUTES for name in get_route(route).paper]


def test_a_linear_map_costs_what_the_hand_counts():
    """[8, 32] times [32, 16] is 2 * 8 * 32 * 16 forward; the gradients of weights and input cost as much each."""
    size = PaperSize(
        build=lambda: nn.Sequential(nn.Linear(32, 32, bias=False), nn.Linear(32, 16, bias=False)),
        loss=lambda model: model(torch.zeros(8, 32)).sum(),
        clips=1e6,
        parameters=1536,
        source="by hand",
    )
    bill = price(size)
    first, second = 2 * 8 * 32 * 32, 2 * 8 * 32 * 16
    assert bill.parameters == 32 * 32 + 32 * 16
    assert bill.clip_flops == 2 * first + 3 * second  # the first map's input needs no gradient
    assert bill.memory_gb == pytest.approx(BYTES * 1536 / 1e9)
    assert bill.device_hours == pytest.approx(bill.clip_flops * 1e6 / DEVICE_FLOPS / UTILISATION / 3600)


@pytest.mark.parametrize(("route", "name"), SIZES)
def test_every_published_size_is_near_its_published_parameters(route, name):
    bill = price(get_route(route).paper[name])
    assert 0.5 < bill.parameters / bill.published_parameters < 2
    assert bill.clip_flops > 6 * bill.parameters  # every weight is used at least once a clip
