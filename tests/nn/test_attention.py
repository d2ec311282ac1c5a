"""Attention and rotary positions: invariances, causality, and the cache."""

import pytest
import torch
import torch.nn.functional as F

from threeworlds.nn.attention import Attention, attention, grid_positions, rope_table, rotate
from threeworlds.nn.spacetime import JointBlock, SpaceTimeBlock

B, T, N, D, H = 2, 5, 6, 32, 4


def test_rotation_keeps_lengths_and_depends_on_distance_alone():
    x, y = torch.randn(1, 8), torch.randn(1, 8)
    here, there = (rope_table(torch.tensor([[float(p), 2.0 * p]]), 8) for p in (3, 10))
    torch.testing.assert_close(rotate(x, here).norm(), x.norm())
    far = [rope_table(torch.tensor([[p + 100.0, 2.0 * p + 7]]), 8) for p in (3, 10)]
    near_product = (rotate(x, here) * rotate(y, there)).sum()
    torch.testing.assert_close((rotate(x, far[0]) * rotate(y, far[1])).sum(), near_product, atol=1e-4, rtol=1e-4)


def test_grid_positions_name_every_cell_once_last_axis_fastest():
    cells = grid_positions(2, 3)
    assert cells.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]


def test_attention_equals_the_formula():
    attention, x = Attention(D, H), torch.randn(B, N, D)
    q, k = attention.query(x), attention.key_value(x).chunk(2, -1)[0]
    v = attention.key_value(x).chunk(2, -1)[1]
    q, k, v = (part.view(B, N, H, D // H).transpose(1, 2) for part in (q, k, v))
    q, k = attention.query_norm(q), attention.key_norm(k)
    weights = F.softmax(q @ k.transpose(-1, -2) / (D // H) ** 0.5, dim=-1)
    expected = attention.out((weights @ v).transpose(1, 2).reshape(B, N, D))
    torch.testing.assert_close(attention(x), expected)


def test_space_time_block_never_looks_ahead():
    block, z = SpaceTimeBlock(D, H), torch.randn(B, T, N, D)
    time = rope_table(grid_positions(T), D // H)
    changed = z.clone()
    changed[:, 3:] += 1
    first, second = block(z, None, time)[0], block(changed, None, time)[0]
    torch.testing.assert_close(first[:, :3], second[:, :3])
    assert (first[:, 3] - second[:, 3]).abs().max() > 1e-3


def test_space_time_cache_gives_what_recomputing_gives():
    block, z = SpaceTimeBlock(D, H), torch.randn(B, T, N, D)
    space, time = rope_table(grid_positions(2, 3), D // H), rope_table(grid_positions(T), D // H)
    whole = block(z, space, time)[0]
    past = block(z[:, : T - 1], space, (time[0][: T - 1], time[1][: T - 1]))[1]
    last = block(z[:, T - 1 :], space, (time[0][T - 1 :], time[1][T - 1 :]), past)[0]
    torch.testing.assert_close(last, whole[:, T - 1 :], atol=1e-5, rtol=1e-5)


def test_joint_block_starts_as_the_identity_but_for_words():
    block, z = JointBlock(D, H), torch.randn(B, T, N, D)
    rope = rope_table(grid_positions(T, 2, 3), D // H)
    torch.testing.assert_close(block(z, torch.randn(B, T, D), rope)[0], z)


def test_joint_block_does_not_read_padding():
    block, z = JointBlock(D, H, text_width=16), torch.randn(B, T, N, D)
    rope, condition = rope_table(grid_positions(T, 2, 3), D // H), torch.randn(B, T, D)
    words, mask = torch.randn(B, 4, 16), torch.tensor([[True, True, False, False]] * B)
    other = words.clone()
    other[:, 2:] = 9
    first = block(z, condition, rope, (words, mask))[0]
    torch.testing.assert_close(first, block(z, condition, rope, (other, mask))[0])
    other[:, 1] = 9
    assert not torch.allclose(first, block(z, condition, rope, (other, mask))[0])


@pytest.mark.parametrize("causal", [False, True])
def test_leading_axes_attend_each_by_itself(causal):
    query, key, value = torch.randn(3, B, T, H, N, 8)
    together = attention(query, key, value, mask=None, causal=causal)
    for b in range(B):
        for t in range(T):
            score = query[b, t] @ key[b, t].transpose(-2, -1) / 8**0.5
            if causal:
                score = score.masked_fill(~torch.ones(N, N, dtype=torch.bool).tril(), -torch.inf)
            torch.testing.assert_close(together[b, t], score.softmax(-1) @ value[b, t], atol=1e-5, rtol=1e-5)
