"""The genie route: time of actions, masks, the cache, play."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from threeworlds.nn.quantize import FSQ
from threeworlds.routes.genie.causal import CausalDynamics
from threeworlds.routes.genie.dynamics import MaskedDynamics, draw, hidden_tokens
from threeworlds.routes.genie.forcing import DiffusionDynamics
from threeworlds.routes.genie.latent_action import ContinuousAction
from threeworlds.routes.genie.model import Genie
from threeworlds.routes.genie.recipes import DynamicsConfig, LatentActionConfig, debug
from threeworlds.routes.genie.world import GenieWorld
from threeworlds.types import Batch, ClipSpec

CONFIG = DynamicsConfig(width=32, layers=2, heads=2, frames=6)
KINDS = {"masked": MaskedDynamics, "causal": CausalDynamics, "diffusion": DiffusionDynamics}


def build(kind, **changes):
    torch.manual_seed(0)
    config = replace(CONFIG, kind=kind, **changes)
    return KINDS[kind](config, FSQ((5, 4)).code(torch.arange(20)), codes=4, grid=(2, 2)).eval()


@pytest.fixture
def dynamics():
    return build("masked")


@pytest.fixture
def genie():
    torch.manual_seed(0)
    return Genie(debug(), ClipSpec(height=32, width=32, fps=10)).eval()


def outputs(dynamics, tokens, codes):
    """What a dynamics makes of finished frames: logits, or clean places."""
    if isinstance(dynamics, DiffusionDynamics):
        return dynamics.estimate(dynamics.codebook[tokens], torch.ones(codes.shape), codes)[0]
    return dynamics.logits(tokens, codes)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_an_action_reaches_the_frame_it_leads_to_and_none_before(kind):
    """Impulse: code[t] led to frame t."""
    dynamics = build(kind)
    tokens, codes = torch.randint(20, (1, 5, 4)), torch.zeros(1, 5, dtype=torch.long)
    struck = codes.clone()
    struck[0, 3] = 2
    change = (outputs(dynamics, tokens, codes) - outputs(dynamics, tokens, struck)).abs().amax((0, 2, 3))
    assert (change[:3] == 0).all()
    assert (change[3:] > 1e-4).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_kept_frame_continues_as_a_recomputed_one(kind):
    """The cache after next_frame is the one that remembering the longer clip makes."""
    dynamics = build(kind)
    tokens, codes = torch.randint(20, (2, 4, 4)), torch.randint(4, (2, 5))
    made, past = dynamics.next_frame(
        dynamics.remember(tokens, codes[:, :4]), codes[:, 4], 4, torch.Generator().manual_seed(0)
    )
    whole = dynamics.remember(torch.cat([tokens, made[:, None]], dim=1), codes)
    for kept, anew in zip(past, whole, strict=True):
        for one, other in zip(kept, anew, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    short = dynamics.forget(dynamics.forget(past))
    assert short[0][0].shape[-2] == 5 * dynamics.span  # six frames of a window less the one to come
    assert torch.equal(short[0][0], past[0][0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_is_made_whole_and_by_its_seed(kind):
    dynamics = build(kind, temperature=1.0)
    past = dynamics.remember(torch.randint(20, (3, 2, 4)), torch.zeros(3, 2, dtype=torch.long))
    made = [
        dynamics.next_frame(past, torch.tensor([0, 1, 2]), 2, torch.Generator().manual_seed(seed))[0]
        for seed in (0, 0, 1)
    ]
    assert made[0].shape == (3, 4)
    assert made[0].max() < 20
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("kind", KINDS)
def test_guidance_of_one_is_none_and_more_leads_away_from_the_null_action(kind):
    given, free = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])
    assert torch.equal(build(kind).guided(given, free), given)
    assert build(kind, guidance=2.0).guided(given, free).tolist() == [2.0, 0.0]


def test_the_causal_kind_sees_no_token_at_or_after_the_one_it_names():
    dynamics = build("causal")
    tokens, codes = torch.randint(20, (1, 3, 4)), torch.zeros(1, 3, dtype=torch.long)
    struck = tokens.clone()
    struck[0, 1, 2] = (tokens[0, 1, 2] + 1) % 20
    change = (dynamics.logits(tokens, codes)[0] - dynamics.logits(struck, codes)[0]).abs().amax((0, 3)).flatten()
    assert (change[:7] == 0).all()  # four of frame 0, three of frame 1: the third is struck itself
    assert (change[7:] > 0).all()


@pytest.mark.parametrize(("kind", "steps"), [("masked", 100), ("causal", 120), ("diffusion", 120)])
def test_a_law_is_learnt_and_played(kind, steps):
    """Every token becomes the code that was pressed: after training, pressing makes that frame."""
    dynamics = build(kind, action_dropout=0.1, corruption=0.0, temperature=0.0).train()
    optimizer = torch.optim.AdamW(dynamics.parameters(), lr=3e-3)
    for _ in range(steps):
        code = torch.randint(4, (16, 5))
        cached = {"tokens": (5 * code)[..., None].expand(-1, -1, 4), "code": code}
        loss, _ = dynamics(Batch(cached=cached))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    dynamics.eval()
    code = torch.randint(4, (32, 3))
    tokens = (5 * code)[..., None].expand(-1, -1, 4)
    code[:, 0] = dynamics.null
    past = dynamics.remember(tokens[:, :2], code[:, :2])
    made, _ = dynamics.next_frame(past, code[:, 2], 2, torch.Generator().manual_seed(0))
    assert (made == tokens[:, 2]).float().mean() > 0.9
    wrong = tokens.clone()
    wrong[:, 2] = 5 * ((code[:, 2:] + 1) % 4)
    assert (dynamics.surprise(wrong, code) > dynamics.surprise(tokens, code))[:, 2].float().mean() > 0.9


def test_inferred_codes_see_the_two_frames_they_lie_between(genie):
    video = torch.rand(1, 5, 3, 32, 32)
    struck = video.clone()
    struck[0, 3] = 1 - struck[0, 3]
    moved = (genie.actions.latent(video) - genie.actions.latent(struck)).abs().amax((0, 2))
    assert (moved > 1e-6).tolist() == [False, False, True, True]


def test_cached_frames_give_what_recomputing_gives(dynamics):
    tokens, codes = torch.randint(20, (2, 5, 4)), torch.randint(4, (2, 5))
    whole = dynamics.logits(tokens, codes)[0][:, 4:]
    past = dynamics.logits(tokens[:, :4], codes[:, :4])[1]
    last = dynamics.logits(tokens[:, 4:], codes[:, 4:], past, first=4)[0]
    torch.testing.assert_close(last, whole, atol=1e-5, rtol=1e-5)


def test_every_clip_hides_tokens_of_its_last_frame_and_some_frames_are_whole():
    torch.manual_seed(0)
    hidden = hidden_tokens(torch.Size((200, 6, 64)), clean=0.5)
    assert hidden[:, -1].any(-1).float().mean() > 0.97
    assert (~hidden[:, :-1].any(-1)).float().mean().item() == pytest.approx(0.52, abs=0.05)


def test_drawing_follows_the_probabilities_and_zero_temperature_takes_the_likeliest():
    logits = torch.tensor([0.7, 0.2, 0.1]).log().expand(20_000, 3)
    drawn, confidence = draw(logits, 1.0, torch.Generator().manual_seed(0))
    assert (drawn.bincount() / 20_000).tolist() == pytest.approx([0.7, 0.2, 0.1], abs=0.02)
    torch.testing.assert_close(confidence.exp(), torch.tensor([0.7, 0.2, 0.1])[drawn])
    assert (draw(logits, 0.0, torch.Generator())[0] == 0).all()


def test_the_loss_is_that_of_hidden_tokens_alone(dynamics):
    """A dynamics that knows nothing scores log(values)."""
    for parameter in dynamics.read_out.parameters():
        torch.nn.init.zeros_(parameter)
    cached = {"tokens": torch.randint(20, (4, 6, 4)), "code": torch.zeros(4, 6, dtype=torch.long)}
    loss, _ = dynamics(Batch(cached=cached))
    assert loss.item() == pytest.approx(np.log(20), rel=1e-5)


def test_buttons_are_the_clusters_there_are():
    torch.manual_seed(0)
    model = ContinuousAction(LatentActionConfig(codes=4, channels=(8, 8, 8)), 32, 32)
    shades = torch.tensor([-1.0, -0.9, -0.6, 0.0, 1.0])  # four different steps, over and over
    video = shades.repeat(4)[:, None, None, None].expand(-1, 3, 32, 32)[None].repeat(8, 1, 1, 1, 1)
    model.make_buttons(Batch(video=video))
    codes = model.infer_codes(video)[0]
    assert len(codes[:5].unique()) >= 3
    assert torch.equal(codes[:5], codes[5:10])


def test_no_action_is_the_button_under_which_least_changes(genie, picture, monkeypatch):
    """Button 2 stands still, 1 flashes, and 3, under which nothing changes at all, was used once: too rare to count."""
    video = 0.01 * torch.randn(1, 101, 3, 32, 32)
    video[:, 1::2] += 1.0
    video[:, 60:] = 0.01 * torch.randn(1, 41, 3, 32, 32)
    video[:, -1] = video[:, -2]
    codes = torch.tensor([[1] * 60 + [2] * 39 + [3]])
    monkeypatch.setattr(genie.actions, "_settle", lambda video: None)
    monkeypatch.setattr(genie.actions, "infer_codes", lambda video: codes)
    genie.actions.make_buttons(Batch(video=video))
    assert genie.told(torch.tensor([0, genie.dynamics.null])).tolist() == [0, 2]
    monkeypatch.undo()
    context = torch.from_numpy(picture).permute(2, 0, 1)[None, None].float() / 127.5 - 1
    left_alone = genie.predict(context, 3, seed=1).video
    assert torch.equal(left_alone, genie.predict(context, 3, action=torch.full((1, 3), 2), seed=1).video)


def test_a_rehearsed_clip_keeps_its_first_frame_and_holds_guesses_after_it():
    dynamics = build("masked", rehearsed=0.5)
    tokens, codes = torch.randint(20, (8, 6, 4)), torch.zeros(8, 6, dtype=torch.long)
    torch.manual_seed(0)
    seen = dynamics._rehearse(tokens, codes)
    assert torch.equal(seen[4:], tokens[4:])
    assert torch.equal(seen[:, 0], tokens[:, 0])
    assert (seen[:4, 1:] != tokens[:4, 1:]).any()
    assert build("masked")._rehearse(tokens, codes) is tokens


def test_the_dream_is_a_gymnasium_environment(genie, picture):
    world = GenieWorld(genie)
    first, _ = world.reset(seed=0, options={"image": picture})
    assert np.array_equal(first, picture)
    frame, reward, terminated, truncated, _ = world.step(1)
    assert world.observation_space.contains(frame)
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert np.array_equal(world.render(), frame)
    check_env(GenieWorld(genie, first=picture), skip_render_check=True)


def test_play_is_what_predict_makes(genie, picture):
    """One path, two doors: stepping gives the frames that a roll-out gives under the same codes and draws."""
    world, codes = GenieWorld(genie), [0, 3, 1]
    world.reset(seed=0, options={"image": picture})
    world._generator.manual_seed(7)
    played = [world.step(code)[0] for code in codes]
    context = torch.from_numpy(picture).permute(2, 0, 1)[None, None].float() / 127.5 - 1
    made = genie.predict(context, 3, action=torch.tensor([codes]), seed=7).video
    expected = ((made[0] + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(np.stack(played), expected)


def test_kept_frames_give_the_roll_out_that_recomputing_them_gives(genie):
    """Each frame anew from all the tokens before it, without a cache, until the window is full."""
    dynamics = genie.dynamics
    video, codes = torch.rand(1, 2, 3, 32, 32) * 2 - 1, torch.tensor([[1, 3, 0]])
    past, time = genie.remember(video, codes[:, :1])
    tokens, led_here = genie.tokenizer.encode(video), torch.tensor([[dynamics.null, 1]])
    for code in codes[0, 1:]:
        kept, past = dynamics.next_frame(past, code[None], time, torch.Generator().manual_seed(0))
        fresh = torch.cat([led_here, code[None, None]], dim=1)
        made = refined(dynamics, tokens, fresh)
        assert torch.equal(kept, made)
        for held, anew in zip(past, dynamics.logits(torch.cat([tokens, made[:, None]], 1), fresh)[1], strict=True):
            torch.testing.assert_close(held[0], anew[0], atol=1e-5, rtol=1e-4)
        tokens, led_here, time = torch.cat([tokens, made[:, None]], dim=1), fresh, time + 1


def refined(dynamics, tokens, codes):
    """`MaskedDynamics.next_frame` with every earlier frame computed again in every pass."""

    class Whole:
        config, grid, mask, null = dynamics.config, dynamics.grid, dynamics.mask, dynamics.null

        def _guided(self, seen, code, past, time):
            return dynamics.logits(torch.cat([tokens, seen], dim=1), codes)[0][:, -1:]

        def _states(self, *_):
            return None, None

    return MaskedDynamics.next_frame(Whole(), [], codes[:, -1], tokens.shape[1], torch.Generator().manual_seed(0))[0]


def test_bad_pictures_codes_and_orders_are_refused_with_what_is_allowed(genie, picture):
    world = GenieWorld(genie)
    with pytest.raises(ValueError, match="reset"):
        world.step(0)
    with pytest.raises(ValueError, match="needed: uint8"):
        world.reset(options={"image": picture.astype(np.float32)})
    world.reset(options={"image": picture})
    with pytest.raises(ValueError, match="allowed: 0 to 4"):
        world.step(9)
    context = torch.rand(1, 2, 3, 32, 32)
    with pytest.raises(ValueError, match=r"2 codes.*needs? 3"):
        genie.predict(context, 2, action=torch.zeros(1, 2, dtype=torch.long))
    with pytest.raises(ValueError, match="allowed: 0 to 3"):
        genie.predict(context, 1, action=torch.full((1, 2), 7))
