from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from drin_pyg.features import Candidates
from drin_pyg.features.candidates import ranges
from drin_pyg.linking.vertex_slots import ManySlots, OneSlot
from drin_pyg.vocabulary import ENTITY_IMAGE, ENTITY_TEXT

WASTE = 1.125  # slots per pair that are worth computing lists of different lengths together


@dataclass(frozen=True)
class Block:
    r"""Mentions computed together: as many images each, and lists of almost the same length.

    Args:
        mention: Mentions, int64 ``[B]``.
        length: The longest list.
        chunk_size: Most slots of a chunk.
    """

    mention: Tensor
    length: int
    chunk_size: int

    @property
    def chunks(self) -> list[tuple[slice, int, int]]:
        """Of each chunk, which of the mentions, and the first and one past the last place on their lists."""
        if self.length <= self.chunk_size:
            step = self.chunk_size // self.length
            return [(slice(begin, begin + step), 0, self.length) for begin in range(0, self.mention.numel(), step)]
        return [(slice(row, row + 1), start, min(start + self.chunk_size, self.length))
                for row in range(self.mention.numel()) for start in range(0, self.length, self.chunk_size)]


def plan(counts: np.ndarray, num_images: np.ndarray, chunk_size: int, num_chunks: int) -> Iterator[Block]:
    r"""Divides mentions into blocks.

    Args:
        counts: Candidates of each mention, ``[M]``; mentions without any are left out.
        num_images: Images of each mention, ``[M]``.
        chunk_size: Most slots of a chunk.
        num_chunks: Chunks of a block; a list longer than that is a block of its own.
    """
    order = np.lexsort((counts, num_images))  # stable: equal ones in their order
    order = order[counts[order] > 0]
    budget = chunk_size * num_chunks
    begin = 0
    while begin < order.size:  # one step a block
        ahead = order[begin:begin + max(1, budget // int(counts[order[begin]]))]
        length = counts[ahead]
        slots = length * np.arange(1, ahead.size + 1)
        fits = (num_images[ahead] == num_images[ahead[0]]) & (slots <= budget) & (slots <= WASTE * length.cumsum())
        size = max(1, ahead.size if fits.all() else int(fits.argmin()))
        yield Block(torch.from_numpy(ahead[:size].copy()), int(length[size - 1]), chunk_size)
        begin += size


class CandidateChunk:
    r"""Candidates ``start:stop`` of each of ``B`` mentions, ``K = stop - start`` slots a mention.

    Args:
        index: The entities.
        lists: The candidate lists; None means every entity of the index.
        mention: Mentions, int64 ``[B]``.
        start: First candidate.
        stop: One past the last.
        device: Where it is computed.

    Attributes:
        there: Which slots hold a candidate, bool ``[B, K]``.
        pair: Position of each candidate in the lists, int64 ``[B, K]`` on the CPU; of a slot without one, any.
        entity: Entity of each slot, int64 ``[B, K]`` on the CPU; of a slot without a candidate, any.
        rows: Entity node type to the index rows of its vertices, ``[N]``.
        slots: Entity node type to where its vertices lie.
    """

    def __init__(self, index, lists: Candidates | None, mention: Tensor, start: int, stop: int, device: torch.device):
        shape = (mention.numel(), stop - start)
        place = torch.arange(start, stop)
        if lists is None:
            self.pair = place.expand(shape)
            self.entity = index.everything[start:stop].expand(shape)
            there, full = torch.ones(shape, dtype=torch.bool), True
        else:
            count = lists.counts[mention].unsqueeze(1)                            # [B, 1]
            there = place < count                                                 # [B, K]
            full = bool(count.min() >= stop)
            self.pair = lists.ptr[mention].unsqueeze(1) + torch.minimum(place, count - 1)
            self.entity = lists.entity[self.pair]                                 # [B, K]
        self.there = there.to(device)
        row = index.row_of(self.entity.reshape(-1))                        # [P]
        self.rows = {ENTITY_TEXT: row}
        self.slots = {ENTITY_TEXT: OneSlot(self.there, full)}
        num_images = index.num_images(row)                                        # [P]; None means one each
        if num_images is None:
            self.rows[ENTITY_IMAGE], self.slots[ENTITY_IMAGE] = row, self.slots[ENTITY_TEXT]
            return
        num_images = num_images * there.reshape(-1)
        most = int(num_images.max())
        first = index.first_image(row)
        if most == 1:
            has = num_images > 0
            self.rows[ENTITY_IMAGE] = torch.where(has, first, first[has.nonzero()[0]])
            self.slots[ENTITY_IMAGE] = OneSlot(has.view(shape).to(device), bool(has.all()))
        else:
            self.rows[ENTITY_IMAGE] = ranges(first, num_images)
            self.slots[ENTITY_IMAGE] = ManySlots(torch.repeat_interleave(num_images).to(device), shape)

    @property
    def shape(self) -> tuple[int, int]:
        """``(B, K)``."""
        return tuple(self.there.shape)
