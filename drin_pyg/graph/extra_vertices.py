r"""Transforms that add vertices to the batches of :class:`~drin_pyg.graph.CandidateLoader`.

A graph with more vertices than the paper's is for :class:`~drin_pyg.nn.HeteroDRIN`; compose them with
:class:`~drin_pyg.graph.PairEdges`::

    transform = Compose([PairEdges(), SplitMention(surface), SplitEntity(name)])

They take compact and plain batches of either context. The first weight of a new edge is the cosine of its two
ends' features. A changed batch cannot be split into its graphs again.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.transforms import BaseTransform

from drin_pyg.features.encode_rows import IN_MEMORY, Encoding
from drin_pyg.features.text_encoder import TextEncoder
from drin_pyg.graph.extend_batch import add_to_mentions, add_vertices, check_rows, check_table, forget_graphs, join
from drin_pyg.vocabulary import (
    ENTITY_NAME,
    ENTITY_TEXT,
    MENTION_REGION,
    MENTION_SURFACE,
    REGION_IMAGE,
    REGION_TEXT,
    SURFACE_IMAGE,
    SURFACE_NAME,
    SURFACE_TEXT,
    TEXT_NAME,
)


class SplitMention(BaseTransform):
    r"""Adds one vertex per mention for its words alone, so that they are apart from their sentence.

    It is joined to the texts of the mention's candidates, and to their images if asked. A mention without
    candidates gets none: nothing would read it.

    Args:
        surface: Features of the words, ``[M, F]``, one row per mention of the tables (:func:`text_rows`).
        entity: Features ``[N, F]``, one row per entity, whose cosine with ``surface`` is the first weight of
            the edges to texts; None for the features of the text vertices themselves.
        images: Whether to join it to the images too; their features must compare with ``surface``.

    Raises:
        ValueError: If the features do not compare, or have too few rows for a batch.
    """

    def __init__(self, surface: Tensor, entity: Tensor | None = None, images: bool = False):
        self.surface = check_table('surface', surface)
        self.entity = entity if entity is None else check_table('entity', entity)
        self.images = images

    def forward(self, data: HeteroData) -> HeteroData:
        forget_graphs(data)
        add_to_mentions(data, MENTION_SURFACE, 'surface', self.surface)
        if self.entity is None:
            join(data, SURFACE_TEXT)
        else:
            check_rows('entity', self.entity.size(0), data.entity)
            join(data, SURFACE_TEXT, (self.entity, data.entity))
        if self.images:
            join(data, SURFACE_IMAGE)
        return data


class SplitEntity(BaseTransform):
    r"""Adds one vertex per candidate for its name alone, so that it is apart from its description.

    It is joined to the mention's text, and to the mention's words if :class:`SplitMention` came before.

    Args:
        name: Features of the names, ``[N, F]``, one row per entity of the tables (:func:`text_rows`).

    Raises:
        ValueError: If the features do not compare, or have too few rows for a batch.
    """

    def __init__(self, name: Tensor):
        self.name = check_table('name', name)

    def forward(self, data: HeteroData) -> HeteroData:
        forget_graphs(data)
        check_rows('name', self.name.size(0), data.entity)
        add_vertices(data, ENTITY_NAME, self.name, data.entity, data[ENTITY_TEXT].batch)
        join(data, TEXT_NAME)
        if MENTION_SURFACE in data.node_types:
            join(data, SURFACE_NAME)
        return data


class AddRegions(BaseTransform):
    r"""Adds any number of vertices per mention for regions of, or objects in, its images.

    Each is joined to all images of the mention's candidates, and to their texts if asked. A mention without
    candidates gets none: nothing would read them.

    Args:
        regions: Features of the regions, ``[R, F]``.
        ptr: Whose they are, int64 ``[M + 1]``: mention ``m`` has ``ptr[m]:ptr[m + 1]``.
        texts: Whether to join them to the texts too; their features must compare with ``regions``.

    Raises:
        ValueError: If the features do not compare, or ``ptr`` has too few mentions for a batch or does not
            rise from 0 to ``R``.
    """

    def __init__(self, regions: Tensor, ptr: Tensor, texts: bool = False):
        self.regions = check_table('regions', regions)
        if ptr.dtype != torch.long or ptr.dim() != 1 or ptr.numel() < 1 or ptr[0] != 0 or ptr[-1] != regions.size(0) \
                or bool((ptr[1:] < ptr[:-1]).any()):
            raise ValueError(f"'ptr' must be int64 [mentions + 1] and rise from 0 to the {regions.size(0)} rows of "
                             f"'regions'")
        self.ptr = ptr
        self.texts = texts

    def forward(self, data: HeteroData) -> HeteroData:
        forget_graphs(data)
        add_to_mentions(data, MENTION_REGION, 'ptr', self.regions, self.ptr)
        join(data, REGION_IMAGE)
        if self.texts:
            join(data, REGION_TEXT)
        return data


def text_rows(texts: Sequence[str], how: Encoding = IN_MEMORY) -> Tensor:
    r"""Features of surfaces or names, one row a text, made as the presets for offline use make those of texts.

    Args:
        texts: The texts.
        how: How the encoder is run; with a store (``Encoding(cache_folder())``) rows are kept.

    Returns:
        Unit rows of MiniLM, float32 ``[len(texts), 384]``.
    """
    return TextEncoder.minilm()(texts, how=how)['mean']
