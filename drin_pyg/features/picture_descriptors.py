r"""Hand-made descriptors of small drawings: no weights, no training."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from drin_pyg.datasets import Picture
from drin_pyg.features.picture_encoder import picture_keys
from drin_pyg.features.row_encoder import RowEncoder

if TYPE_CHECKING:
    from PIL import Image

VERSION = '2'      # part of the cache key: count it up when a descriptor changes
SIZE = 64          # pixels of the square that a drawing is stretched to
BACKGROUND = 0.06  # a pixel this close to white (of 1) belongs to the background


def describe_pictures(pictures: Sequence['Image.Image']) -> Tensor:
    r"""Describes drawings on a white ground by layout, shape and colour.

    The drawing is cut out of its white margin and stretched to a square, so that size and place in
    the cell do not matter. Four blocks follow, each of length 1, ``BLOCKS`` wide: the Lab colours of
    a 16 x 16 thumbnail; histograms of oriented gradients with cells of 8 pixels and 16 signed
    orientations; the same with cells of 4 and 9 unsigned orientations on the half-size picture; a
    joint histogram of the drawing's Lab colours.

    Args:
        pictures: Pictures of any size and mode.

    Returns:
        float32 ``[len(pictures), 2613]``.
    """
    return _describe([_cut_out(picture.convert('RGB')) for picture in pictures])


class DescriptorEncoder(RowEncoder):
    r""":func:`describe_pictures` as an encoder: column ``"descriptors"``."""

    name = 'drawings'
    batch_size = 256

    @property
    def spec(self) -> dict[str, Any]:
        return {'encoder': 'descriptors', 'version': VERSION}

    def keys(self, items: Sequence[Picture]) -> list[str | None]:
        return picture_keys(items)

    def prepare(self, item: Picture) -> Tensor:
        return _cut_out(item.open())  # [3, 64, 64]

    def encode(self, batch: list[Tensor]) -> dict[str, Tensor]:
        return {'descriptors': _describe(batch)}


GRIDS = ((3, 16), (16, 8), (9, 8))  # of the blocks that keep places: numbers in a place, places along a side
BLOCKS = (*(depth * side**2 for depth, side in GRIDS), 5 * 7 * 7)
REGIONS = 4  # along a side


def regions_of(descriptors: Tensor) -> Tensor:
    r"""Cuts the blocks of descriptors that keep places (all but the last) into a grid of 4 x 4 regions.

    Args:
        descriptors: From :func:`describe_pictures`, ``[N, 2613]``.

    Returns:
        ``[N, 16, 148]``, regions row by row: the colours, then the two kinds of gradients, of what lies in each.
    """
    parts = []
    for block, (depth, side) in zip(descriptors.split(BLOCKS, dim=-1), GRIDS, strict=False):
        cell = side // REGIONS
        grid = block.reshape(-1, depth, REGIONS, cell, REGIONS, cell)     # [N, depth, row, y, column, x]
        parts.append(grid.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2))  # [N, 16, depth * cell ** 2]
    return torch.cat(parts, dim=-1)                                       # [N, 16, 148]


def _describe(drawings: list[Tensor]) -> Tensor:
    """Descriptors ``[B, 2613]`` of cut-out drawings ``[3, 64, 64]``."""
    from skimage.color import rgb2lab

    if not drawings:
        return torch.empty(0, sum(BLOCKS))
    batch = torch.stack(drawings)                                                               # [B, 3, 64, 64]
    lab = torch.from_numpy(rgb2lab(batch.numpy(), channel_axis=1)).float() / 100
    ink = (1 - batch).amax(1) > BACKGROUND                                                      # [B, 64, 64]
    colours = torch.stack([_colour_histogram(x[:, mask]) for x, mask in zip(lab, ink, strict=True)])
    blocks = [
        F.adaptive_avg_pool2d(lab, 16).flatten(1),
        oriented_gradients(batch, 8, 16, signed=True),
        oriented_gradients(F.avg_pool2d(batch, 2), 4, 9, signed=False),
        colours,
    ]
    return torch.cat([F.normalize(block, dim=-1) for block in blocks], dim=-1)


def _cut_out(picture: 'Image.Image') -> Tensor:
    """The drawing without its white margin, stretched to a square, ``[3, 64, 64]`` in 0..1."""
    x = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255  # [3, H, W]
    ink = (1 - x).amax(0) > BACKGROUND
    if ink.any():
        rows, columns = ink.any(1).nonzero().flatten(), ink.any(0).nonzero().flatten()
        x = x[:, rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    return F.interpolate(x.unsqueeze(0), (SIZE, SIZE), mode='bilinear', align_corners=False)[0]


def oriented_gradients(x: Tensor, cell: int, bins: int, signed: bool) -> Tensor:
    r"""Histograms of oriented gradients of square pictures, all at once.

    As :func:`skimage.feature.hog`, with three differences: orientations may be signed, neighbouring
    cells overlap by half, and the root of each entry is taken.

    Args:
        x: RGB pictures ``[B, 3, S, S]``.
        cell: Distance of cells in pixels.
        bins: Number of orientations.
        signed: Whether they span 360 degrees or 180.

    Returns:
        ``[B, bins * (S // cell) ** 2]``.
    """
    padded = F.pad(x, (1, 1, 1, 1), mode='replicate')
    dx = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    dy = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    strength, channel = (dx.square() + dy.square()).sqrt().max(1, keepdim=True)  # the steepest channel, [B, 1, S, S]
    dx, dy = dx.gather(1, channel), dy.gather(1, channel)
    period = 2 * math.pi if signed else math.pi
    angle = (torch.atan2(dy, dx) % period) / period * bins
    low = angle.floor()
    share = angle - low
    histogram = x.new_zeros(x.size(0), bins, *x.shape[2:])
    histogram.scatter_add_(1, low.long() % bins, strength * (1 - share))
    histogram.scatter_add_(1, (low.long() + 1) % bins, strength * share)
    cells = x.size(-1) // cell
    histogram = F.avg_pool2d(histogram, 2 * cell, cell, padding=cell // 2)[..., :cells, :cells]
    energy = F.avg_pool2d(histogram.square().sum(1, keepdim=True), 3, 1, 1, count_include_pad=False)
    return (histogram / (energy.sqrt() + 0.02)).sqrt().flatten(1)


def _colour_histogram(lab: Tensor) -> Tensor:
    """Root of the joint histogram of the colours ``[3, N]`` of a drawing, ``[245]``."""
    limits = ((0, 1), (-.7, .7), (-.7, .7))
    inside = torch.stack([channel.clamp(*limit) for channel, limit in zip(lab, limits, strict=True)], dim=-1)
    counts, _ = np.histogramdd(inside.numpy(), bins=(5, 7, 7), range=limits)  # strong colours in the outer bins
    return torch.from_numpy(counts).float().flatten().sqrt()
