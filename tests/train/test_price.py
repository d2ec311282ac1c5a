"""The price of a published size: counted by hand where that can be done, and every size of every route builds."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from threeworlds.routes import ROUTES, get_route
from threeworlds.train.price import BYTES, COLUMNS, DEVICE_FLOPS, UTILISATION, Price, lines, price
from threeworlds.types import PaperSize

KEPT = Path(__file__).parents[2] / "results" / "prices-genie.json"
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
    if bill.published_parameters is not None:
        assert 0.5 < bill.parameters / bill.published_parameters < 2
    assert bill.clip_flops > 6 * bill.parameters  # every weight is used at least once a clip


@pytest.mark.parametrize(
    ("name", "most"),
    [("2.7b/tokenizer", 0.1), ("2.7b/actions", 0.3), ("2.7b/dynamics", 0.06), ("10.7b/dynamics", 0.03)],
)
def test_genie_at_published_sizes_has_the_published_parameters(name, most):
    size = get_route("genie").paper[name]
    assert built(size) / size.parameters - 1 == pytest.approx(0, abs=most)


def built(size):
    with torch.device("meta"):
        return sum(p.numel() for p in size.build().parameters())


def test_a_genie_of_published_size_is_its_three_parts():
    """Of 10.7B parameters; the blocks counted by hand: two attentions of four maps, and an MLP of half the width."""
    sizes = get_route("genie").paper
    parts = {name: built(sizes[f"10.7b/{name}"]) for name in ("tokenizer", "actions", "dynamics")}
    assert sum(parts.values()) == pytest.approx(10.7e9, rel=0.03)
    attention, mlp = 2 * 4 * 5120 * 36 * 128, 2 * 5120 * 2560
    assert parts["dynamics"] == pytest.approx(48 * (attention + mlp), rel=0.005)
    frames, tokens = 16, 23 * 40
    assert frames * tokens * 512 * 125e3 == pytest.approx(942e9, rel=0.001)  # as printed


def test_the_kept_prices_are_those_of_these_models():
    """All but the tracing, which takes a minute."""
    kept = {name.removeprefix("genie "): Price(**bill) for name, bill in json.loads(KEPT.read_text()).items()}
    sizes = get_route("genie").paper
    assert kept.keys() == sizes.keys()
    for name, size in sizes.items():
        bill = kept[name]
        assert (bill.parameters, bill.clips, bill.published_parameters) == (built(size), size.clips, size.parameters)
    assert kept["coinrun/dynamics"] == price(sizes["coinrun/dynamics"])


def test_a_price_list_sums_the_parts_of_a_size():
    part = {"clip_flops": 2e9, "memory_gb": 0.5, "clips": 1e6, "device_hours": 3.0}
    given = Price(parameters=11_000_000, published_parameters=10e6, **part)
    unknown = Price(parameters=4_000_000, published_parameters=None, **part)
    found = list(lines({"a": given, "b/x": given, "b/y": given, "c/x": given, "c/y": unknown}))
    assert [line[0] for line in found] == ["a", "b/x", "b/y", "b, all", "c/x", "c/y", "c, all"]
    assert all(len(line) == len(COLUMNS) for line in found)
    assert found[0] == ("a", "11 M (10 M, +10%)", "2", "0.5", "1.0 M", "2e+15", "3")
    assert found[3] == ("b, all", "22 M (20 M, +10%)", "", "1.0", "", "4e+15", "6")
    assert found[6][1] == "15 M (not given)"
