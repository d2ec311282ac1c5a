"""The learnt codebook: nearest by hand, means that follow, dead codes that come back."""

from math import log

import pytest
import torch
import torch.nn.functional as F

from threeworlds.nn.quantize import VQ, relative_entropy

DIRECTIONS = F.normalize(torch.tensor([[1.0, 0.2], [-0.3, 1.0], [-1.0, -0.9]]), dim=-1)


def test_the_nearest_code_is_that_of_the_largest_cosine_whatever_the_length():
    torch.manual_seed(0)
    quantizer, x = VQ(7, 5).eval(), torch.randn(4, 3, 5)
    code, index, commitment = quantizer(x)
    cosine = F.cosine_similarity(x[..., None, :], quantizer.codebook, dim=-1)
    assert torch.equal(index, cosine.argmax(-1))
    torch.testing.assert_close(code, quantizer.codebook[index])
    torch.testing.assert_close(commitment, (2 - 2 * cosine.amax(-1)).mean())  # |u - v|^2 of unit vectors
    assert torch.equal(quantizer(100 * x)[1], index)


def test_the_gradient_goes_straight_through():
    quantizer, x = VQ(4, 3).eval(), torch.randn(6, 3, requires_grad=True)
    quantizer(x)[0].sum().backward()
    through = x.grad.clone()
    x.grad = None
    F.normalize(x, dim=-1).sum().backward()
    torch.testing.assert_close(through, x.grad)


def test_codes_become_the_means_of_what_falls_on_them():
    torch.manual_seed(1)
    quantizer = VQ(3, 2, decay=0.9)
    for _ in range(200):
        quantizer(DIRECTIONS[torch.randint(3, (64,))] + 0.05 * torch.randn(64, 2))
    near = quantizer.codebook @ DIRECTIONS.T
    assert (near.amax(0) > 0.999).all()
    assert sorted(near.argmax(1).tolist()) == [0, 1, 2]
    torch.testing.assert_close(quantizer.use, torch.full((3,), 1 / 3), atol=0.1, rtol=0)


def test_a_dead_code_becomes_a_vector_of_the_batch():
    torch.manual_seed(0)
    quantizer = VQ(3, 2, decay=0.5, least=0.2)
    quantizer.codebook.copy_(torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]))
    quantizer.sums.copy_(quantizer.codebook / 3)
    x = F.normalize(torch.tensor([[0.9, 0.1], [0.8, -0.3]]), dim=-1)
    for _ in range(6):  # nothing falls on the last code
        quantizer(x)
    assert quantizer.codebook[2, 0] > 0.7


def test_in_eval_mode_nothing_is_learnt():
    quantizer = VQ(3, 2).eval()
    before = quantizer.codebook.clone()
    quantizer(torch.randn(50, 2))
    assert torch.equal(before, quantizer.codebook)


def test_relative_entropy_by_hand():
    assert relative_entropy(torch.ones(8)).item() == pytest.approx(1)
    assert relative_entropy(torch.tensor([3.0, 0.0, 0.0])).item() == pytest.approx(0)
    assert relative_entropy(torch.tensor([1.0, 1.0, 0.0, 0.0])).item() == pytest.approx(log(2) / log(4))


def test_soft_use_is_a_distribution_with_a_gradient_to_what_is_quantized():
    quantizer, x = VQ(5, 3).eval(), torch.randn(10, 3, requires_grad=True)
    use = quantizer.soft_use(x)
    assert use.sum().item() == pytest.approx(1, abs=1e-5)
    relative_entropy(use).backward()
    assert x.grad.abs().max() > 0


def test_a_codebook_has_at_least_two_codes():
    with pytest.raises(ValueError, match="1 codes; at least 2"):
        VQ(1, 4)
