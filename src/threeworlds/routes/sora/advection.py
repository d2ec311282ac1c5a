"""Frames carried on, not painted anew: what each latent cell of a given frame shows, sent where it goes.

For each cell of the given frame a token says how fast its content moves, and so, times the frames since, where it is
now: a mixture over the cells within a radius, so that it may go by parts of a cell, or not be sure. Where two arrive
the heavier covers the other: forward warping with softmax splatting (Niklaus & Liu, arXiv 2003.05534), after networks
that predict motion and not pictures (Finn et al., arXiv 1605.07157). The token that sees a body is then the one that
must read in the caption where it goes, and a body that moves stays the body it was. What is new is painted on top.

Latents must move as bodies do, by parts of a cell too: ``autoencoder.equivariance``.

Legend: b batch, t frames, n tokens a frame, c latent channels, y x latent grid, k displacements, d width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PACE = 0.2  # cells a frame that an output of 1 stands for
SPREAD = 0.35  # of where the content of a cell goes, in cells, at the start of training: nearly none
HEAVIEST = 6.0  # logarithm of how much more than the usual a cell's content may weigh
NOTHING = 1e-4  # weight below which nothing has arrived


class Advection(nn.Module):
    """(tokens, given frames, frames since) -> those frames carried on.

    Args:
        width: d.
        patch: cells of a token, each way.
        radius: the farthest that content goes, in cells, each way.
    """

    offset: Tensor

    def __init__(self, width: int, patch: int, radius: int) -> None:
        super().__init__()
        self.patch, self.radius = patch, radius
        side = torch.arange(-radius, radius + 1.0)
        self.register_buffer("offset", torch.cartesian_prod(side, side), persistent=False)  # [k, (y, x)]
        self.motion = nn.Linear(width, patch**2 * (4 + len(self.offset)))
        nn.init.zeros_(self.motion.weight)
        nn.init.zeros_(self.motion.bias)

    def forward(self, z_btnd: Tensor, given_btcyx: Tensor, since_bt: Tensor) -> Tensor:
        """Tokens [b, t, n, d]; for each frame the given one [b, t, c, y, x], and frames since (< 0: it is later)."""
        rows, columns = given_btcyx.shape[-2:]
        motion = self._cells(self.motion(z_btnd), (rows, columns))
        velocity, spread, weight, doubt = motion.split([2, 1, 1, len(self.offset)], dim=2)
        moved = PACE * velocity * since_bt[..., None, None, None]
        miss = (self.offset[:, :, None, None] - moved[:, :, None]).square().sum(3)  # [b, t, k, y, x]
        arrival = (doubt - 0.5 * miss / (SPREAD * spread.exp()).square()).softmax(dim=2)
        return splat(given_btcyx, arrival * weight.clamp(-HEAVIEST, HEAVIEST).exp(), self.radius)

    def _cells(self, z_btnf: Tensor, grid: tuple[int, int]) -> Tensor:
        """[b, t, n, p p f] -> [b, t, f, y, x]."""
        each = z_btnf.unflatten(-1, (self.patch**2, -1)).transpose(3, 4).flatten(3).transpose(2, 3)
        rows, columns = grid[0] // self.patch, grid[1] // self.patch
        return F.pixel_shuffle(each.unflatten(3, (rows, columns)), self.patch)


def splat(frame_btcyx: Tensor, weight_btkyx: Tensor, radius: int) -> Tensor:
    """Send each cell's content to the cells around it, and take the weighted mean of what arrives: [b, t, c, y, x].

    Args:
        weight_btkyx: of each displacement, row by row from (-radius, -radius), at the cell where the content is.
    """
    sent = torch.cat([weight_btkyx[:, :, None] * frame_btcyx[:, :, :, None], weight_btkyx[:, :, None]], dim=2)
    rows, columns = frame_btcyx.shape[-2:]
    padded = (rows + 2 * radius, columns + 2 * radius)
    arrived = F.fold(sent.flatten(4).flatten(0, 1).flatten(1, 2), padded, 2 * radius + 1)
    inside = arrived[..., radius : radius + rows, radius : radius + columns].unflatten(0, frame_btcyx.shape[:2])
    return inside[:, :, :-1] / (inside[:, :, -1:] + NOTHING)
