"""Choices of the genie route: latent actions and tokenizers as published, collapse, labels, training end to end."""

import logging
from dataclasses import replace

import pytest
import torch

from threeworlds.routes import get_route
from threeworlds.routes.genie import collapse
from threeworlds.routes.genie.latent_action import (
    ContinuousAction,
    MovingKernels,
    VectorQuantizedAction,
    build_latent_action,
)
from threeworlds.routes.genie.model import Genie, stages
from threeworlds.routes.genie.recipes import LatentActionConfig, TokenizerConfig, TransformerConfig, debug
from threeworlds.routes.genie.tokenizer import SpaceTimeTokenizer, build_tokenizer, codebook_use, in_windows
from threeworlds.routes.genie.transformer import SpaceTimeNet
from threeworlds.train import Budget, load_model, train_route
from threeworlds.types import Batch, ClipSpec

TINY = TransformerConfig(width=16, layers=1, heads=2, patch=8)
ACTION_KINDS = {"continuous": ContinuousAction, "vq": VectorQuantizedAction}


def actions(kind, **changes):
    torch.manual_seed(0)
    config = LatentActionConfig(kind=kind, transformer=TINY, channels=(8, 8, 8), latent=4, codes=4, **changes)
    return build_latent_action(config, 16, 16, 3)


def moving_squares(clips, frames=4):
    """A bright square that goes left or right, two pixels a step, as it is told: video and actions (0, 1)."""
    action = torch.randint(2, (clips, frames - 1))
    place = 6 + 2 * torch.cat([torch.zeros(clips, 1, dtype=torch.long), (2 * action - 1).cumsum(1)], dim=1)
    columns = torch.arange(16)
    lit = (columns >= place[..., None]) & (columns < place[..., None] + 4)
    video = torch.where(lit[:, :, None, None], 1.0, -1.0).repeat(1, 1, 3, 16, 1)
    video[:, :, :, :6], video[:, :, :, 10:] = -1, -1
    return video, action


# ------------------------------------------------------------------------------------ latent actions


@pytest.mark.parametrize("kind", ACTION_KINDS)
def test_each_kind_is_built_by_name_and_names_steps(kind):
    model = actions(kind).eval()
    assert isinstance(model, ACTION_KINDS[kind])
    codes = model.infer_codes(torch.rand(2, 5, 3, 16, 16) * 2 - 1)
    assert codes.shape == (2, 4)
    assert codes.min() >= 0 and codes.max() < 4


@pytest.mark.parametrize("kind", ACTION_KINDS)
def test_pictures_are_looked_at_as_finely_as_asked(kind):
    assert (actions(kind).height, actions(kind, pixels=8).height, actions(kind, pixels=16).height) == (16, 8, 16)
    assert actions(kind, pixels=8).infer_codes(torch.rand(1, 3, 3, 16, 16)).shape == (1, 2)


def test_a_transformer_is_as_wide_inside_as_asked():
    config = replace(TINY, head_width=6, mlp=0.5)
    net = SpaceTimeNet(config, 3, 5, (2, 2))
    assert net.blocks[0].space.query.weight.shape == (12, 16) and net.blocks[0].mlp[0].weight.shape == (8, 16)
    assert net(torch.rand(1, 2, 4, 3)).shape == (1, 2, 4, 5)


@pytest.mark.parametrize("kind", ACTION_KINDS)
def test_a_latent_action_sees_no_frame_after_the_one_it_led_to(kind):
    model, video = actions(kind).eval(), torch.rand(1, 5, 3, 16, 16)
    struck = video.clone()
    struck[0, 3] = 1 - struck[0, 3]
    moved = (model.latent(video) - model.latent(struck)).abs().amax((0, 2))
    assert (moved[:2] == 0).all()
    assert moved[2] > 1e-6


@pytest.mark.parametrize("kind", ACTION_KINDS)
def test_the_decoder_sees_the_action_and_not_the_frame_it_is_to_make(kind):
    model, video = actions(kind).eval(), torch.rand(1, 4, 3, 16, 16)
    for parameter in model.decoder.parameters():  # its last layer starts at zero
        torch.nn.init.normal_(parameter, std=0.1)
    latent = torch.randn(1, 2, 4)
    made = model._decode(video, latent)
    struck = video.clone()
    struck[0, 3] = 0
    assert torch.equal(model._decode(struck, latent), made)
    change = (model._decode(video, latent + torch.tensor([[[0.0], [1.0]]])) - made).abs().amax((0, 2, 3, 4))
    assert change[0] == 0 and change[1] > 1e-6


def train(model, steps, clips=lambda: moving_squares(16)[0], learning_rate=3e-3):
    """Train on a toy; the last step's metrics."""
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=learning_rate)
    for _ in range(steps):
        loss, metrics = model(Batch(video=clips()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    return metrics


def agreement(model):
    """Part of the toy's steps whose action is the commonest of their code."""
    video, action = moving_squares(64)
    codes = model.infer_codes(video)[:, 1:]
    return sum(action[:, 1:][codes == c].bincount().max().item() for c in codes.unique()) / codes.numel()


def test_the_published_kind_uses_its_codes_and_is_no_copier():
    metrics = train(actions("vq"), 120)
    assert metrics["usage"] > 0.7
    assert metrics["gain_over_copy"] > 0.1


def test_a_few_labels_give_codes_one_meaning_everywhere():
    """Without them a code may mean left here and right there: the decoder, which sees the place, does not mind."""
    model = actions("vq", labels=90, batch_size=8)
    video, action = moving_squares(30)
    model.take_labels(Batch(video=video, action=action))
    train(model, 120)
    assert agreement(model) > 0.95


# ---------------------------------------------------------------------------- kernels made by the action


def kernels_that(move, seen=1):
    """Kernels whose first part is everywhere and weighs neighbours as ``move`` [3, 3] says; the second is nowhere."""
    net = MovingKernels(seen=seen, latent=2, reach=1)
    with torch.no_grad():
        net.kernels.weight.zero_()
        net.kernels.bias.view(2, 3, 3)[0] = torch.tensor(move).log()
        net.parts[-1].weight.zero_()
        net.parts[-1].bias.copy_(torch.tensor([50.0, -50.0]))
    return net


@pytest.mark.parametrize(
    ("move", "made"),
    [
        ([[0.0, 0, 0], [1, 0, 0], [0, 0, 0]], lambda x: torch.cat([x[..., :1], x[..., :-1]], dim=-1)),  # to the right
        ([[0.0, 0, 0], [0, 0, 0], [0, 1, 0]], lambda x: torch.cat([x[..., 1:, :], x[..., -1:, :]], dim=-2)),  # upwards
        ([[0.0, 0, 0], [0.5, 0.5, 0], [0, 0, 0]], lambda x: (x + torch.cat([x[..., :1], x[..., :-1]], dim=-1)) / 2),
    ],
    ids=["a pixel to the right", "a pixel up", "half a pixel"],
)
def test_a_kernel_moves_a_picture_by_whole_and_half_pixels(move, made):
    now = torch.rand(2, 3, 6, 5)
    torch.testing.assert_close(now + kernels_that(move)(now, torch.randn(2, 2)), made(now))


def test_of_two_frames_the_last_is_moved():
    before, now = torch.rand(2, 2, 3, 6, 5)
    net = kernels_that([[0.0, 0, 0], [1, 0, 0], [0, 0, 0]], seen=2)
    moved = now + net(torch.cat([before, now], dim=1), torch.randn(2, 2))
    torch.testing.assert_close(moved[..., 1:], now[..., :-1])


def test_a_body_that_may_not_move_is_refused():
    with pytest.raises(ValueError, match=r"actions.reach 0: .* at least 1"):
        actions("continuous", decoder="kernels", reach=0)


def test_each_clip_is_moved_by_its_own_action_and_what_belongs_to_no_part_stays():
    net, now = MovingKernels(seen=1, latent=1, reach=1), torch.rand(2, 3, 6, 6)
    with torch.no_grad():
        net.kernels.weight.zero_().view(2, 3, 3)[:, 1, 0] = 50
        net.parts[-1].weight.zero_()
        net.parts[-1].bias.copy_(torch.tensor([50.0, -50.0]))
        change = net(now, torch.tensor([[1.0], [0.0]]))
        alone = net(now[1:], torch.tensor([[0.0]]))
        net.parts[-1].bias.fill_(-50)
        nothing = net(now, torch.ones(2, 1))
    torch.testing.assert_close((now + change)[0, :, :, 1:], now[0, :, :, :-1])
    torch.testing.assert_close(change[1:], alone)
    assert nothing.abs().max() < 1e-6


@pytest.mark.parametrize("decoder", ["film", "kernels"])
@pytest.mark.parametrize("seen", [1, 2])
def test_a_decoder_sees_as_many_frames_as_asked(decoder, seen):
    model, video = actions("continuous", decoder=decoder, seen=seen).eval(), torch.rand(1, 4, 3, 16, 16)
    for parameter in model.decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    latent = torch.randn(1, 2, 4)
    made, felt = model._decode(video, latent), []
    for frame in range(4):
        struck = video.clone()
        struck[0, frame] = 1 - struck[0, frame]
        felt.append((model._decode(struck, latent) - made).abs().amax((0, 2, 3, 4)) > 1e-6)
    assert torch.stack(felt, 1).tolist() == [[seen == 2, True, False, False], [False, seen == 2, True, False]]


def slow_dots(clips, frames=4):
    """A soft dot that keeps one of four ways, 0.4 pixels a step: video, and the way of each clip."""
    way = torch.randint(4, (clips,))
    step = 0.4 * torch.tensor([(1.0, 0), (-1, 0), (0, 1), (0, -1)])[way]
    centre = 5 + 6 * torch.rand(clips, 1, 2) + torch.arange(frames)[:, None] * step[:, None]
    rows, columns = torch.arange(16)[:, None], torch.arange(16)
    away = (rows - centre[..., :1, None]).square() + (columns - centre[..., 1:, None]).square()
    return (1.5 * (-away / 2).exp() - 1)[:, :, None].repeat(1, 1, 3, 1, 1), way


@pytest.mark.slow
def test_a_slow_dot_that_keeps_its_way_is_named_by_kernels_from_one_frame():
    """Two frames tell the third, so there is nothing to name; and what is painted anew is not learnt as a way."""
    told = {}
    for decoder, seen in (("film", 2), ("kernels", 1)):
        model = actions("continuous", decoder=decoder, seen=seen, reach=1)
        train(model, 250, lambda: slow_dots(16)[0], learning_rate=2e-3)
        video, way = slow_dots(200)
        model.make_buttons(Batch(video=video))
        codes = model.infer_codes(video)[:, 1]
        told[decoder] = sum(way[codes == c].bincount().max().item() for c in codes.unique()) / len(way)
    assert told["kernels"] > 0.9
    assert told["film"] < 0.6


# ------------------------------------------------------------------------------------------- collapse


def test_signs_by_hand():
    found = collapse.signs(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 2.0]), torch.tensor([4.0, 8.0]))
    assert found["gain_over_copy"].item() == pytest.approx(1 - 1.5 / 6)
    assert found["right_code_wins"].item() == pytest.approx(0.75)  # a win and a tie


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"usage": 0.9, "gain_over_copy": 0.5, "right_code_wins": 0.9}, []),
        ({"usage": 0.2, "gain_over_copy": 0.5, "right_code_wins": 0.9}, ["few codes"]),
        ({"gain_over_copy": 0.0, "right_code_wins": 0.5}, ["copying the last frame", "chance"]),
    ],
)
def test_what_is_wrong_is_said_in_words(found, said):
    wrong = collapse.collapsed(found)
    assert len(wrong) == len(said)
    assert all(word in text for word, text in zip(said, wrong, strict=True))


def test_a_code_costs_what_it_can_earn_so_that_a_faint_body_is_followed_too():
    """A tenth of the contrast: what a code explains is worth a hundredth, and so must be its price."""
    metrics = train(actions("continuous"), 150, lambda: moving_squares(16)[0] / 10, learning_rate=5e-3)
    assert metrics["kl"] > 0.5 and metrics["gain_over_copy"] > 0.8


@pytest.mark.parametrize("kind", ACTION_KINDS)
def test_a_collapsed_model_is_warned_of_in_training(kind, caplog, monkeypatch):
    """A decoder that hears no action, as it happens: no code is better than another, and copying is as good."""
    model = actions(kind).train()
    for parameter in model.decoder.parameters():
        torch.nn.init.zeros_(parameter)
    monkeypatch.setattr(collapse, "PATIENCE", 5)
    with caplog.at_level(logging.WARNING, "threeworlds.train"):
        for _ in range(5):
            model(Batch(video=moving_squares(8)[0]))
    assert "after 5 steps" in caplog.text
    assert "copying the last frame" in caplog.text and "right one wins 0.50" in caplog.text
    assert "actions.decoder=kernels follows" in caplog.text


@pytest.mark.parametrize(("kind", "given"), [("continuous", False), ("vq", True)])
def test_advice_that_was_taken_is_not_given(kind, given, caplog, monkeypatch):
    """The codebook has a decoder of its own, whatever is asked for."""
    model = actions(kind, decoder="kernels").train()
    for parameter in model.decoder.parameters():
        torch.nn.init.zeros_(parameter)
    monkeypatch.setattr(collapse, "PATIENCE", 5)
    with caplog.at_level(logging.WARNING, "threeworlds.train"):
        for _ in range(5):
            model(Batch(video=moving_squares(8)[0]))
    assert "right one wins 0.50" in caplog.text
    assert ("actions.decoder" in caplog.text) == given


@pytest.mark.parametrize(("others", "said"), [(0, True), (1, False)])
def test_one_token_nearly_everywhere_is_said_once_the_tokenizer_is_trained(others, said, caplog, monkeypatch):
    model = Genie(debug(), ClipSpec(height=16, width=16, fps=10))
    tokens = torch.full((1, 25, 4), 3)
    tokens.view(-1)[:others] = 1
    monkeypatch.setattr(model.tokenizer, "encode", lambda video: tokens)
    with caplog.at_level(logging.WARNING, "threeworlds.train"):
        stages(model)[0].finish(Batch(video=torch.zeros(1, 25, 3, 16, 16)))
    assert ("tokens have collapsed" in caplog.text) == said


def test_one_code_in_use_is_a_collapse_though_frames_come_out_well(caplog, monkeypatch):
    monkeypatch.setattr(collapse, "PATIENCE", 3)
    watch = collapse.CollapseWatch()
    well = {"gain_over_copy": torch.tensor(0.8), "right_code_wins": torch.tensor(0.9)}
    with caplog.at_level(logging.WARNING, "threeworlds.train"):
        for said in (False, False, True):
            watch.look({**well, "usage": torch.tensor(0.1)})
            assert ("few codes are in use" in caplog.text) == said
        caplog.clear()
        healthy = collapse.CollapseWatch()
        for _ in range(3):
            healthy.look({**well, "usage": torch.tensor(0.9)})
    assert caplog.text == ""


# --------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize("kind", ACTION_KINDS)
def test_a_few_labels_name_the_latent_actions(kind):
    model = actions(kind, labels=30, batch_size=8).train()
    video, action = moving_squares(16)
    model.take_labels(Batch(video=video, action=action))
    assert model.labelled_action.shape == (10, 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        loss, metrics = model(Batch(video=video, action=action))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert metrics["labels_right"] > 0.9


def test_labels_need_actions_and_enough_clips():
    with pytest.raises(ValueError, match="no discrete actions"):
        build_latent_action(LatentActionConfig(labels=10), 16, 16, 0)
    video, action = moving_squares(4)
    with pytest.raises(ValueError, match="labels 30: at most 12"):
        actions("continuous", labels=30).take_labels(Batch(video=video, action=action))


def test_without_labels_no_action_is_asked_for(arena_store):
    route = get_route("genie")
    config = debug()
    stages = {stage.name: stage for stage in route.stages(route.build(config, arena_store.spec))}
    assert stages["actions"].columns == ("video",)
    config = replace(config, actions=replace(config.actions, labels=6))
    stages = {stage.name: stage for stage in route.stages(route.build(config, arena_store.spec))}
    assert stages["actions"].columns == ("video", "action")


# ------------------------------------------------------------------------------------------ tokenizer


def test_windows_give_each_frame_no_more_past_than_training_did():
    x = torch.arange(6.0).view(1, 6, 1)
    assert in_windows(lambda part: part.cumsum(1), x, 3).flatten().tolist() == [0, 1, 3, 6, 9, 12]  # 1+2+3, 2+3+4, ...
    torch.testing.assert_close(in_windows(lambda part: part.cumsum(1), x, 9), x.cumsum(1))


def faint_dots(clips):
    """One frame each: dark, and a faint dot of two pixels a side anywhere."""
    video = torch.full((clips, 1, 3, 32, 32), -1.0)
    for frame, (row, column) in zip(video[:, 0], torch.randint(31, (clips, 2)), strict=True):
        frame[0, row : row + 2, column : column + 2] = -0.4
    return video


@pytest.mark.parametrize(("spread", "least", "most"), [(False, 1, 1), (True, 10, 125)])
def test_where_all_that_moves_is_small_codes_are_used_if_they_are_spread(spread, least, most):
    torch.manual_seed(0)
    tokenizer = build_tokenizer(TokenizerConfig(channels=(8, 8, 16), spread=spread), 32, 32)
    train(tokenizer, 100, lambda: faint_dots(8), learning_rate=2e-3)
    assert least <= len(tokenizer.encode(faint_dots(64)).unique()) <= most


def test_spread_tokens_are_a_frame_s_own():
    """Once trained, no other frame of a batch has a say in them."""
    tokenizer = build_tokenizer(TokenizerConfig(channels=(8, 8, 16), spread=True), 16, 16).train()
    tokenizer(Batch(video=faint_dots(8)))
    video = faint_dots(5)
    together = tokenizer.eval().encode(video)
    assert torch.equal(together, torch.cat([tokenizer.encode(clip) for clip in video.split(1)]))


def test_codebook_use_by_hand():
    use = codebook_use(torch.tensor([[0, 0, 1, 1]]), 4)
    assert use["codes_used"] == 0.5
    assert use["perplexity"].item() == pytest.approx(0.5)  # two codes alike, of four


def test_the_published_tokenizer_is_causal_and_treats_a_long_clip_as_its_parts():
    torch.manual_seed(0)
    config = TokenizerConfig(kind="spacetime", transformer=TINY, codes=16, code_width=4, frames=3)
    tokenizer, video = SpaceTimeTokenizer(config, 16, 16).eval(), torch.rand(1, 7, 3, 16, 16) * 2 - 1
    tokens = tokenizer.encode(video)
    assert tokens.shape == (1, 7, 4)
    assert torch.equal(tokenizer.encode(video[:, :5]), tokens[:, :5])
    made = tokenizer.decode(tokens)
    tail = tokenizer.decode(tokens[:, -1 - tokenizer.memory :])[:, -1]
    torch.testing.assert_close(tail, made[:, -1], atol=1e-5, rtol=1e-5)
    assert made.shape == video.shape


# ------------------------------------------------------------------------------------------ end to end


@pytest.fixture(scope="module")
def published(arena_store, tmp_path_factory):
    """Every part as published, in small, trained for a moment."""
    config = replace(
        debug(),
        tokenizer=TokenizerConfig(kind="spacetime", transformer=TINY, codes=16, code_width=4, frames=3, batch_size=4),
        actions=LatentActionConfig(kind="vq", transformer=TINY, latent=4, codes=4, labels=12, batch_size=4, share=0.3),
    )
    out = tmp_path_factory.mktemp("published")
    return train_route(
        get_route("genie"), recipe="debug", config=config, store=arena_store, budget=Budget.parse("12steps"), out=out,
        progress=False,
    )  # fmt: skip


def test_the_dynamics_know_the_codebook_that_the_tokenizer_learnt(published):
    model = published.model
    assert torch.equal(model.dynamics.codebook, model.tokenizer.quantizer.codebook)
    assert "action" in published.ledger["actions"].supervision
    assert "action" not in published.ledger["dynamics"].supervision


def test_published_parts_play_as_they_predict_and_load_as_they_were(published):
    context, codes = torch.rand(2, 4, 3, 32, 32) * 2 - 1, torch.tensor([[0, 1, 2, 3, 0]] * 2)
    loaded, _ = load_model(published.path)
    made = published.model.predict(context, 2, action=codes, seed=1).video
    assert torch.equal(loaded.predict(context, 2, action=codes, seed=1).video, made)
    world = published.model.as_world()
    world.refinements = published.model.config.dynamics.refinements
    first = ((context[0] + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    world.reset(seed=0, options={"video": first})
    seen = torch.from_numpy(first).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
    told = torch.cat([published.model.infer_codes(seen), codes[:1, 3:]], dim=1)
    world._generator.manual_seed(1)
    played = [torch.from_numpy(world.step(int(code))[0]) for code in told[0, 3:]]
    expected = published.model.predict(seen, 2, action=told, seed=1).video[0]
    assert torch.equal(torch.stack(played), ((expected + 1) * 127.5).round().byte().permute(0, 2, 3, 1))
