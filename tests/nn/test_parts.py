"""Quantizer, regularisers, convolutions, words."""

from importlib.util import find_spec

import pytest
import torch

from threeworlds.nn.conv import Decoder, Encoder, check_size
from threeworlds.nn.losses import changed_weight, moving_weight
from threeworlds.nn.quantize import FSQ
from threeworlds.nn.regularize import effective_rank, raw_rank, sigreg
from threeworlds.nn.text import TextEncoder, word_hashes
from threeworlds.worlds.foreign import borrowed


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (2,), (4, 4)])
def test_every_index_survives_the_round_trip(levels):
    quantizer = FSQ(levels)
    index = torch.arange(quantizer.size)
    code = quantizer.code(index)
    assert code.min() == -1
    assert code.max() == 1
    assert torch.equal(quantizer.index(code), index)
    assert len(code.unique(dim=0)) == quantizer.size


def test_quantizing_rounds_to_the_nearest_level_and_lets_the_gradient_through():
    quantizer = FSQ((5,))
    x = torch.tensor([[0.1], [10.0], [-10.0], [0.6]], requires_grad=True)
    code = quantizer(x)
    torch.testing.assert_close(code.detach().flatten(), torch.tensor([0.0, 1.0, -1.0, 0.5]))
    code.sum().backward()
    torch.testing.assert_close(x.grad, 1 - torch.tanh(x.detach()) ** 2)


def test_fsq_names_what_is_allowed():
    with pytest.raises(ValueError, match="at least 2"):
        FSQ((1, 3))


@pytest.mark.parametrize("batch", [64, 512])
def test_sigreg_is_about_one_for_a_gaussian_at_any_batch_size(batch):
    torch.manual_seed(0)
    values = torch.stack([sigreg(torch.randn(batch, 16), 64) for _ in range(40)])
    assert values.mean().item() == pytest.approx(1.05, abs=0.06)


def test_sigreg_of_a_collapsed_state_grows_with_the_batch():
    for batch in (64, 128):
        assert sigreg(torch.zeros(batch, 16), 8).item() == pytest.approx(0.402 * batch, rel=0.01)


def test_sigreg_takes_leading_axes_as_separate_batches():
    torch.manual_seed(0)
    z = torch.randn(3, 128, 8)
    torch.manual_seed(1)
    together = sigreg(z, 16)
    one_by_one = []
    for part in z:
        torch.manual_seed(1)
        one_by_one.append(sigreg(part, 16))
    torch.testing.assert_close(together, torch.stack(one_by_one).mean())


def test_effective_rank_counts_equal_directions():
    basis = torch.linalg.qr(torch.randn(64, 5))[0]
    basis = torch.cat([basis, -basis])  # mean zero
    assert effective_rank(basis).item() == pytest.approx(5, abs=0.01)
    assert effective_rank(torch.randn(64, 1) * torch.ones(1, 8)).item() == pytest.approx(1, abs=0.01)


def test_raw_rank_counts_the_place_of_states_too():
    basis = torch.linalg.qr(torch.randn(64, 5))[0].mT  # five directions, equally long
    assert raw_rank(basis).item() == pytest.approx(5, abs=0.01)
    assert raw_rank(torch.cat([basis, -basis])).item() == pytest.approx(5, abs=0.01)
    assert raw_rank(torch.zeros(8, 5)).item() == 1
    two = torch.tensor([[3.0, 4.0]]) + torch.tensor([[-4.0, 3.0], [4.0, -3.0]])  # as wide as it is far away
    assert raw_rank(two).item() == pytest.approx(2)
    uneven = torch.tensor([[3.0, 4.0]]) + 0.5 * torch.tensor([[-4.0, 3.0], [4.0, -3.0]])  # a fifth of the squares
    assert raw_rank(uneven).item() == pytest.approx(0.8**-0.8 * 0.2**-0.2)


def test_encoder_and_decoder_are_inverse_in_shape():
    frames = torch.randn(2, 3, 24, 40)
    grid = Encoder((4, 4, 8), 5)(frames)
    assert grid.shape == (2, 5, 3, 5)
    assert Decoder((4, 4, 8), 5)(grid).shape == frames.shape


def test_sizes_that_do_not_divide_are_refused_by_name():
    assert check_size(32, 64) == (4, 8)
    with pytest.raises(ValueError, match=r"30 x 32 pixels.*multiples of 8"):
        check_size(30, 32)


def test_weights_have_mean_one_and_favour_what_moves():
    video = torch.full((1, 4, 3, 8, 8), -1.0)
    video[0, :, :, 2, 2] = torch.tensor([-1.0, 1, -1, 1])[:, None]
    weight = moving_weight(video, 4.0)
    torch.testing.assert_close(weight.mean(), torch.tensor(1.0))
    assert weight[0, 0, 0, 2, 2] / weight[0, 0, 0, 0, 0] == 5
    changed = changed_weight(video[:, 0], video[:, 1], 10.0)
    assert changed[0, 0, 2, 2] / changed[0, 0, 0, 0] == 11


def test_words_are_lower_case_and_punctuation_does_not_matter():
    assert word_hashes("A red, disc!", 9) == word_hashes("a red disc", 9)
    assert len(word_hashes("one two three", 2)) == 2


def test_captions_of_different_lengths_do_not_change_each_other():
    torch.manual_seed(0)
    encoder = TextEncoder(16, heads=2, layers=1)
    alone, mask = encoder(["a red disc"])
    padded, _ = encoder(["a red disc", "a large blue square goes left quickly"])
    assert mask.tolist() == [[True] * 4]
    torch.testing.assert_close(padded[:1, :4], alone, atol=1e-5, rtol=1e-5)
    left, right = encoder(["goes left now"])[0], encoder(["goes right now"])[0]
    assert (left - right).abs().max() > 0.1


@pytest.mark.skipif(not all(map(find_spec, ("stable_worldmodel", "einops"))), reason="no stable-worldmodel")
@pytest.mark.parametrize("spread", [0.0, 1.0, 3.0])
def test_sigreg_is_that_of_lewm(spread):
    """The same states, projections drawn from the same seed: the same value and gradient (stable-worldmodel 0.1.1)."""
    peer = borrowed("stable_worldmodel.wm.loss").SIGReg(num_proj=64)
    found = []
    for loss in (lambda z: sigreg(z, 64), peer):
        z = (spread * torch.randn(3, 32, 16, generator=torch.Generator().manual_seed(0))).requires_grad_()
        torch.manual_seed(1)
        value = loss(z)
        value.backward()
        found.append((value.detach(), z.grad))
    torch.testing.assert_close(*found)
