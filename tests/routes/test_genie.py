"""The genie route: time of actions, masks, the cache, play."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from PIL import Image

from threeworlds.nn.quantize import FSQ
from threeworlds.routes.genie.causal import CausalDynamics
from threeworlds.routes.genie.dynamics import MaskedDynamics, draw, hidden_tokens
from threeworlds.routes.genie.forcing import DiffusionDynamics
from threeworlds.routes.genie.latent_action import ContinuousAction
from threeworlds.routes.genie.model import Genie
from threeworlds.routes.genie.play import CachePlayer, MaskedPlayer, player
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


def test_a_draft_sees_what_play_sees():
    """Drafts of all frames, made in one pass as in training, are those made one by one from finished frames."""
    dynamics, frames = build("masked"), 5
    past, drafts = torch.randint(20, (2, frames, 4)), torch.randint(21, (2, frames, 4))
    codes = torch.randint(4, (2, frames + 1))
    drafted = dynamics._drafted(past, drafts, codes)
    for i in range(frames):
        kept = dynamics._states(past[:, : i + 1], codes[:, : i + 1], None, 0)[1]
        alone = dynamics._states(drafts[:, i : i + 1], codes[:, i + 1 : i + 2], kept, i + 1)[0]
        torch.testing.assert_close(drafted[:, i : i + 1], alone, atol=1e-5, rtol=1e-5)


def test_frames_are_hidden_at_rates_from_nothing_to_all():
    torch.manual_seed(0)
    rates = hidden_tokens(torch.Size((400, 6, 64))).float().mean(-1)
    assert rates.min() < 0.05 and rates.max() == 1
    assert rates.mean().item() == pytest.approx(2 / np.pi, abs=0.02)  # of cos(pi u / 2), u uniform


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


def test_the_part_of_rehearsed_clips_is_right_on_average_in_small_batches():
    dynamics = build("masked", rehearsed=0.4)
    tokens, codes = torch.randint(20, (3, 6, 4)), torch.zeros(3, 6, dtype=torch.long)
    torch.manual_seed(0)
    changed = [(dynamics._rehearse(tokens, codes) != tokens).any((1, 2)).float().mean() for _ in range(200)]
    assert torch.stack(changed).mean().item() == pytest.approx(0.4, abs=0.04)  # rounded down it would be a third


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


@pytest.mark.parametrize("changes", [{}, {"guidance": 1.5}, {"head_width": 12, "mlp": 2.0}], ids=str)
def test_what_is_laid_out_for_play_computes_the_same(changes):
    """Fourteen frames in a window of six: the same tokens, and keys and values within a rounding, frame by frame."""
    dynamics = build("masked", temperature=0.7, **changes)
    with torch.no_grad():
        for parameter in dynamics.parameters():  # norms begin as ones and zeros, which hide a scale left out
            parameter.add_(0.1 * torch.randn_like(parameter))
    past = dynamics.forget(dynamics.remember(torch.randint(20, (1, 2, 4)), torch.tensor([[4, 1]])))
    with torch.inference_mode():
        fast, plain = player(dynamics, past, 2), CachePlayer(dynamics, past, 2)
        assert isinstance(fast, MaskedPlayer)
        draws = [torch.Generator().manual_seed(5) for _ in range(2)]
        for code in torch.randint(5, (14, 1)):
            assert torch.equal(fast.next_frame(code, draws[0], 3), plain.next_frame(code, draws[1], 3))
            for layer, (keys, values) in zip(fast.layers, plain.past, strict=True):
                order = [time % 6 for time in range(fast.seen - keys.shape[-2], fast.seen)]
                for ring, kept in zip(layer.ring, (keys, values), strict=True):
                    torch.testing.assert_close(ring[order].movedim(0, -2), kept[0], atol=1e-5, rtol=1e-4)


def test_play_takes_the_weights_as_they_are_when_it_begins(genie, picture):
    world = genie.as_world()
    before = dreamt(genie, picture)
    with torch.no_grad():
        genie.dynamics.read_out.own.weight.copy_(torch.randn_like(genie.dynamics.read_out.own.weight))
    world.reset(seed=0, options={"image": picture})
    after = np.stack([world.step(code)[0] for code in (1, 3, 0, 2, 2, 4, 1, 3)])
    assert np.array_equal(after, dreamt(genie, picture)) and not np.array_equal(after, before)


class Forgetful:
    """A dynamics whose cache is the whole history, from which every frame is computed again in every pass."""

    def forget(self, past):
        return past


class ForgetfulMasked(Forgetful, MaskedDynamics):
    def _states(self, tokens, codes, past, first):
        tokens_so_far, codes_so_far = past or (tokens[:, :0], codes[:, :0])
        whole = torch.cat([tokens_so_far, tokens], 1), torch.cat([codes_so_far, codes], 1)
        return super()._states(*whole, None, 0)[0][:, -tokens.shape[1] :], whole


class ForgetfulCausal(Forgetful, CausalDynamics):
    def _run(self, z, past, first):
        whole = z if past is None else torch.cat([past[0], z], dim=1)
        return super()._run(whole, None, 0)[0][:, -z.shape[1] :], [whole]


class ForgetfulDiffusion(Forgetful, DiffusionDynamics):
    def estimate(self, x_t, level, codes, past=None, first=0):
        whole = (
            [torch.cat([old, new], dim=1) for old, new in zip(past, (x_t, level, codes), strict=True)]
            if past
            else (x_t, level, codes)
        )
        return super().estimate(*whole)[0][:, -codes.shape[1] :], whole


FORGETFUL = {"masked": ForgetfulMasked, "causal": ForgetfulCausal, "diffusion": ForgetfulDiffusion}


@pytest.fixture
def sliding(monkeypatch):
    """Causal attention over a whole history sees as far back as a cache that forgets: a window of so many places."""

    def set_window(frames, span):
        def windowed(query, key, value, *, mask, causal):
            if causal:
                frame = torch.arange(query.shape[-2]) // span
                seen = torch.ones(len(frame), len(frame), dtype=torch.bool).tril()
                mask, causal = seen & (frame[:, None] - frame < frames), False
            return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)

        monkeypatch.setattr("threeworlds.nn.attention.attention", windowed)

    return set_window


@pytest.mark.parametrize("guidance", [1.0, 1.5])
@pytest.mark.parametrize("kind", KINDS)
def test_kept_frames_give_the_roll_out_that_recomputing_gives_though_the_window_slides(kind, guidance, sliding):
    """Two given frames and ten made ones, in a window of six: tokens alike, and what the next frame is made from."""
    dynamics = build(kind, temperature=0.7, guidance=guidance)
    anew = FORGETFUL[kind](dynamics.config, dynamics.codebook, codes=4, grid=(2, 2)).eval()
    anew.load_state_dict(dynamics.state_dict())
    tokens, codes = torch.randint(20, (2, 2, 4)), torch.randint(4, (2, 12))
    rolled = roll_out(dynamics, tokens, codes)
    sliding(dynamics.config.frames, dynamics.span)
    recomputed = roll_out(anew, tokens, codes)
    assert torch.equal(rolled[0], recomputed[0])
    torch.testing.assert_close(rolled[1], recomputed[1], atol=1e-5, rtol=1e-5)


def roll_out(dynamics, tokens, codes):
    """Tokens of a roll-out [b, t, n], and what the network makes of one frame more: logits, or clean places."""
    made, generator = [], torch.Generator().manual_seed(3)
    past = dynamics.forget(dynamics.remember(tokens, codes[:, :2]))
    for time in range(2, codes.shape[1]):
        frame, past = dynamics.next_frame(past, codes[:, time], time, generator)
        past = dynamics.forget(past)
        made.append(frame)
    time, code = codes.shape[1], codes[:, :1]
    if isinstance(dynamics, DiffusionDynamics):
        seen = dynamics.estimate(dynamics.codebook[tokens[:, :1]], torch.zeros(code.shape), code, past, time)[0]
    elif isinstance(dynamics, CausalDynamics):
        seen = dynamics.read_out(
            dynamics._run(dynamics.actions(code), past, time * dynamics.span)[0], dynamics.codebook
        )
    else:
        seen = dynamics.logits(torch.full((2, 1, 4), dynamics.mask), code, past, time)[0]
    return torch.stack(made, dim=1), seen


@pytest.mark.parametrize("kind", KINDS)
def test_a_dream_goes_on_as_it_would_without_a_cache_though_the_window_slides(kind, picture, sliding):
    """From a picture to frames in play: eight steps in a window of four, each frame within a rounding."""
    torch.manual_seed(0)
    config = replace(debug(), dynamics=replace(debug().dynamics, kind=kind, temperature=0.0))
    genie = Genie(config, ClipSpec(height=32, width=32, fps=10)).eval()
    kept = dreamt(genie, picture)
    assert len(np.unique(kept, axis=0)) > 4
    arguments = genie.dynamics.config, genie.dynamics.codebook, genie.n_codes, genie.tokenizer.grid
    anew = FORGETFUL[kind](*arguments).eval()
    anew.load_state_dict(genie.dynamics.state_dict())
    genie.dynamics = anew
    sliding(genie.dynamics.config.frames, genie.dynamics.span)
    assert np.abs(kept - dreamt(genie, picture)).max() <= 1


def dreamt(genie, picture):
    """Frames of eight steps."""
    world = genie.as_world()
    world.reset(seed=0, options={"image": picture})
    return np.stack([world.step(code)[0] for code in (1, 3, 0, 2, 2, 4, 1, 3)]).astype(int)


def test_bad_pictures_codes_and_orders_are_refused_with_what_is_allowed(genie, picture):
    world = GenieWorld(genie)
    with pytest.raises(ValueError, match="reset"):
        world.step(0)
    world.reset(options={"image": picture})
    with pytest.raises(ValueError, match="allowed: 0 to 4"):
        world.step(9)
    context = torch.rand(1, 2, 3, 32, 32)
    for wrong in (torch.zeros(1, 2, dtype=torch.long), torch.zeros(3, dtype=torch.long), torch.zeros(1, 3)):
        with pytest.raises(ValueError, match=r"codes torch.*needed: integers \(1, 3\)"):
            genie.predict(context, 2, action=wrong)
    with pytest.raises(ValueError, match="0 new frames; at least 1"):
        genie.predict(context, 0)


@pytest.mark.parametrize(("codes", "named"), [([0, 7], 7), ([-1, 3], -1), ([4, -2], -2), ([9, -1], 9)])
def test_the_code_that_is_wrong_is_named(codes, named, genie):
    with pytest.raises(ValueError, match=f"code {named}; allowed: 0 to 3, or 4 for none"):
        genie.predict(torch.rand(1, 2, 3, 32, 32), 1, action=torch.tensor([codes]))


@pytest.mark.parametrize("shape", [(1, 2, 3, 48, 48), (1, 2, 1, 32, 32), (2, 3, 32, 32), (1, 0, 3, 32, 32)])
@pytest.mark.parametrize("ability", ["predict", "infer_codes", "tokenize", "represent", "reconstruct", "surprise"])
def test_frames_of_another_size_are_refused(ability, shape, genie):
    more = (2,) if ability == "predict" else ()
    with pytest.raises(ValueError, match=r"frames \(.*needed: \(b, k, 3, 32, 32\)"):
        getattr(genie, ability)(torch.zeros(shape), *more)


PICTURE = np.zeros((32, 32, 3), np.uint8)
WRONG_STARTS = {
    "a list": ({"image": PICTURE.tolist()}, r"image: list; needed: a numpy array, uint8 \(32, 32, 3\)"),
    "nothing": ({"image": None}, "image: NoneType; needed: a numpy array"),
    "a name": ({"video": "film.mp4"}, r"video: str; needed: a numpy array, uint8 \(k, 32, 32, 3\)"),
    "a PIL picture": ({"image": Image.fromarray(PICTURE)}, "image: Image; needed: a numpy array"),
    "floats": ({"image": PICTURE.astype(np.float32)}, r"image: float32 \(32, 32, 3\); needed"),
    "a picture for a video": ({"video": PICTURE}, r"video: uint8 \(32, 32, 3\); needed"),
    "a video for a picture": ({"image": PICTURE[None]}, r"image: uint8 \(1, 32, 32, 3\); needed"),
    "no frames": ({"video": PICTURE[None][:0]}, r"video: uint8 \(0, 32, 32, 3\); needed"),
    "another size": ({"image": PICTURE[:16]}, r"image: uint8 \(16, 32, 3\); needed"),
    "an unknown key": ({"picture": PICTURE}, "reset options picture; allowed: one of image and video"),
    "both": ({"image": PICTURE, "video": PICTURE[None]}, "reset options image, video; allowed: one of"),
}


@pytest.mark.parametrize("name", WRONG_STARTS)
def test_a_start_that_cannot_be_says_what_is_needed(name, genie):
    options, told = WRONG_STARTS[name]
    with pytest.raises(ValueError, match=told):
        GenieWorld(genie).reset(options=options)


def test_a_wrong_first_picture_is_refused_as_well(genie):
    with pytest.raises(ValueError, match="first: list; needed"):
        GenieWorld(genie, first=PICTURE.tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_heads_and_mlps_are_as_wide_as_asked(kind):
    dynamics = build(kind, head_width=6, mlp=0.5)
    block = dynamics.blocks[0]
    attention = block.attention if kind == "causal" else block.time
    assert attention.query.weight.shape == (2 * 6, 32) and attention.out.weight.shape == (32, 2 * 6)
    assert block.mlp[0].weight.shape == (16, 32)
    past = dynamics.remember(torch.randint(20, (1, 2, 4)), torch.zeros(1, 2, dtype=torch.long))
    assert past[0][0].shape[-1] == 6
    assert dynamics.next_frame(past, torch.tensor([0]), 2, torch.Generator())[0].shape == (1, 4)


# --------------------------------------------------------------------------------------------- passes


@pytest.mark.parametrize("passes", [0, -1, 1.5, "2"])
def test_less_than_a_pass_is_refused(passes, genie):
    told = f"refinements {passes!r}: passes a frame, a whole number of at least 1"
    with pytest.raises(ValueError, match=told):
        genie.as_world(refinements=passes)
    world = genie.as_world()
    world.reset()
    world.refinements = passes
    with pytest.raises(ValueError, match=told):
        world.step(0)
    with pytest.raises(ValueError, match=told):
        build("diffusion", refinements=passes)


def test_a_world_takes_few_passes_and_a_film_the_recipe_s(genie):
    assert (genie.passes, genie.passes_in_play) == (genie.config.dynamics.refinements, 2)
    assert genie.as_world().refinements == 2
    assert genie.as_world(refinements=5).refinements == 5
    genie.dynamics = build("masked", refinements=7)
    assert (genie.passes, genie.passes_in_play) == (7, 2)


def test_a_causal_dynamics_has_no_choice_of_passes(genie):
    genie.dynamics = build("causal")
    assert genie.passes == genie.passes_in_play == 5  # four tokens, and the code before them
    assert genie.as_world().refinements is None
    with pytest.raises(ValueError, match="refinements 3: a causal dynamics makes a frame token after token"):
        genie.as_world(refinements=3)
