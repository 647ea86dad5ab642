r"""Made-up mentions and entities of the widths that the paper's encoders have."""

import torch
import torch.nn.functional as F

from drin_pyg.features import Candidates, SideTables
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_TYPES, MENTION_TYPES, NODE_TYPES

TEXT, IMAGE = 768, 2048  # BERT, ResNet-152
WEIGHTS = dict(zip(EDGE_TYPES, (TEXT, 512, 512, IMAGE), strict=True))  # 512: CLIP
WIDTHS = dict(zip(NODE_TYPES, (TEXT, IMAGE, TEXT, IMAGE), strict=True))


def make_sides(mentions: int, entities: int, scale: float = 1.0,
               given: bool = False) -> tuple[SideTables, SideTables]:
    r"""Mentions and entities with a text and an image each.

    Args:
        mentions: Number of mentions.
        entities: Number of entities.
        scale: Factor on all widths, for quick runs.
        given: Whether first weights are given per pair, so that their tables are one zero wide.
    """
    def side(rows: int, node_types: list) -> SideTables:
        def table(width: int) -> torch.Tensor:
            return F.normalize(torch.randn(rows, scaled(width, scale)), dim=-1)

        weight = {t: torch.zeros(rows, 1) if given else table(width) for t, width in WEIGHTS.items()}
        text, image = (table(WIDTHS[t]).mul_(scaled(WIDTHS[t], scale) ** 0.5) for t in node_types)
        return SideTables(text, image, torch.arange(rows + 1), weight)

    return side(mentions, MENTION_TYPES), side(entities, ENTITY_TYPES)


def make_candidates(mentions: int, candidates: int, entities: int, given: bool = False) -> Candidates:
    r"""``candidates`` entities for each mention, drawn with replacement; the first of them is the answer."""
    entity = torch.randint(entities, (mentions * candidates,))
    weight = {t: torch.rand(entity.numel()) for t in EDGE_TYPES} if given else {}
    ptr = torch.arange(0, entity.numel() + 1, candidates)
    return Candidates(ptr, entity, entity[ptr[:-1]], weight)


def make_model(dim: int, layers: int, scale: float = 1.0) -> DRIN:
    r"""The published model with parameters drawn at random."""
    channels = {t: scaled(width, scale) for t, width in WIDTHS.items()}
    return DRIN.published(channels, dim, layers)


def scaled(width: int, scale: float) -> int:
    """A width times a factor, at least 1."""
    return max(int(width * scale), 1)


def floor_products(model: DRIN, context: str) -> int:
    r"""How many ``[P, D] x [D, D]`` products exact scoring cannot do without, given what depends on an entity alone.

    The first layer's product is an entity's own (:math:`\mathbf{W}_h` commutes with the sum); later layers need one
    for each vertex kind that a pair has for itself: the entity's, and in pair context the mention's too.
    """
    own = NODE_TYPES if context == 'pair' else ENTITY_TYPES
    return sum(len(set(conv.out_node_types) & set(own)) for conv in model.convs[1:])


class Floor:
    r"""``times`` products ``[pairs, dim] x [dim, dim]`` and nothing else, in blocks that reuse their memory.

    Args:
        pairs: Rows.
        dim: Width.
        times: Number of products.
        dtype, device: Of the matrices.
        block: Rows at once.
    """

    def __init__(self, pairs: int, dim: int, times: int, dtype: torch.dtype, device: str, block: int = 8192):
        self.pairs, self.times = pairs, times
        self.x = torch.randn(min(pairs, block), dim, device=device, dtype=dtype)
        self.weight = torch.randn(dim, dim, device=device, dtype=dtype)
        self.out = torch.empty_like(self.x)

    def __call__(self) -> None:
        for start in range(0, self.pairs * self.times, self.x.size(0)):
            rows = min(self.x.size(0), self.pairs * self.times - start)
            torch.mm(self.x[:rows], self.weight, out=self.out[:rows])
