from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch_geometric.typing import EdgeType
from torch_geometric.utils import cumsum

from drin_pyg.datasets import KnowledgeBase, Mention
from drin_pyg.features.pair_tables import check_finite
from drin_pyg.vocabulary import EDGE_TYPES

NIL = -1


@dataclass(frozen=True, eq=False)
class Candidates:
    r"""Ragged candidate lists of ``M`` mentions, ``P`` pairs in all.

    Args:
        ptr: int64 ``[M + 1]``: the candidates of mention ``m`` are ``entity[ptr[m]:ptr[m + 1]]``.
        entity: Entity row of each pair, int64 ``[P]``.
        gold: Entity row of each mention's answer, int64 ``[M]``; ``NIL`` (-1) where there is none.
            None if nothing is known (mentions to be linked).
        weight: Given first weights of some relations, edge type to ``[P]``, instead of the inner
            products of :class:`PairTables` (published folders come with such numbers). They need
            at most one image on either side; the weight of a pair whose image is missing is unused.

    Raises:
        ValueError: If the lists are inconsistent; the message names the field.

    Example:
        >>> lists = Candidates.from_lists([[4, 1, 7], [], [2]], gold=[1, NIL, 3])
        >>> lists.counts, lists.mention
        (tensor([3, 0, 1]), tensor([0, 0, 0, 2]))
        >>> lists.y  # the answer of the last mention is not on its list
        tensor([False,  True, False, False])
    """

    ptr: Tensor
    entity: Tensor
    gold: Tensor | None = None
    weight: dict[EdgeType, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ('ptr', 'entity', 'gold'):
            value = getattr(self, name)
            if value is not None and (value.dtype != torch.long or value.dim() != 1):
                raise ValueError(f"'{name}' must be a one-dimensional int64 tensor, got {value.dtype} "
                                 f"{list(value.shape)}")
        if self.ptr.numel() == 0 or self.ptr[0] != 0 or self.ptr[-1] != self.entity.numel() \
                or bool((self.ptr[1:] < self.ptr[:-1]).any()):
            raise ValueError(f"'ptr' must rise from 0 to the number of pairs ({self.entity.numel()})")
        if self.gold is not None and self.gold.numel() != self.num_mentions:
            raise ValueError(f"'gold' has {self.gold.numel()} answers for {self.num_mentions} mentions")
        for edge_type, weight in self.weight.items():
            if edge_type not in EDGE_TYPES or weight.dim() != 1 or weight.numel() != self.num_pairs:
                raise ValueError(f"weight[{edge_type}] must belong to a relation of the vocabulary and have one "
                                 f"number for each of the {self.num_pairs} pairs, got {list(weight.shape)}")
            check_finite(f'weight[{edge_type}]', weight.unsqueeze(-1))

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int]], gold: Sequence[int] | None = None) -> 'Candidates':
        """Candidate lists given as one sequence of entity rows per mention."""
        counts = torch.tensor([len(entities) for entities in lists], dtype=torch.long)
        entity = torch.tensor([entity for entities in lists for entity in entities], dtype=torch.long)
        return cls(cumsum(counts), entity, None if gold is None else torch.tensor(gold, dtype=torch.long))

    @classmethod
    def from_records(cls, mentions: Sequence[Mention], entities: KnowledgeBase) -> 'Candidates':
        """Candidates and answers of records; an answer that is not in the knowledge base counts as NIL.

        Raises:
            ValueError: If a candidate is not in the knowledge base. (Data sets of this package leave
                such candidates out, and count them.)
        """
        names = [name for mention in mentions for name in mention.candidates]
        distinct = list(dict.fromkeys([*names, *(m.answer for m in mentions if m.answer is not None)]))
        row = dict(zip(distinct, entities.rows(distinct).tolist(), strict=True))
        if unknown := [name for name in names if row[name] < 0]:
            raise ValueError(f"{len(unknown)} candidates are not in the knowledge base of {len(entities)} entities, "
                             f"the first is '{unknown[0]}'")
        return cls(
            cumsum(torch.tensor([len(mention.candidates) for mention in mentions], dtype=torch.long)),
            torch.tensor([row[name] for name in names], dtype=torch.long),
            torch.tensor([row.get(mention.answer, NIL) for mention in mentions], dtype=torch.long),
        )

    @property
    def num_mentions(self) -> int:
        """Number of candidate lists ``M``."""
        return self.ptr.numel() - 1

    @property
    def num_pairs(self) -> int:
        """Number of pairs ``P``."""
        return self.entity.numel()

    @property
    def counts(self) -> Tensor:
        """Number of candidates of each mention, ``[M]``."""
        return self.ptr[1:] - self.ptr[:-1]

    @property
    def mention(self) -> Tensor:
        """Mention of each pair, ``[P]``."""
        return torch.repeat_interleave(self.counts)

    @property
    def y(self) -> Tensor:
        """Whether each pair is right, bool ``[P]``; needs ``gold``."""
        if self.gold is None:
            raise ValueError("These candidates have no 'gold' answers to compare with")
        return self.entity == self.gold.repeat_interleave(self.counts)

    def pairs_of(self, mention: Tensor) -> Tensor:
        """Positions ``[P']`` of the pairs of the given mentions ``[B]``, in their order."""
        return ranges(self.ptr[mention], self.counts[mention])

    def select(self, mention: Tensor) -> 'Candidates':
        """The candidate lists of the given mentions ``[B]``, in that order, as new mentions ``0..B-1``."""
        pairs = self.pairs_of(mention)
        return Candidates(
            ptr=cumsum(self.counts[mention]),
            entity=self.entity[pairs],
            gold=None if self.gold is None else self.gold[mention],
            weight={edge_type: weight[pairs] for edge_type, weight in self.weight.items()},
        )


def ranges(start: Tensor, count: Tensor) -> Tensor:
    """``[start[0], ..., start[0] + count[0] - 1, start[1], ...]``, without a loop."""
    owner = torch.repeat_interleave(count)
    return (start - cumsum(count)[:-1])[owner] + torch.arange(owner.numel(), device=start.device)
