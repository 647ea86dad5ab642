r"""Graphs with further vertices and relations, for the study that asks whether they help."""

import torch
from torch_geometric.transforms import Compose
from torch_geometric.typing import EdgeType, NodeType

from drin_pyg.features import Encoding, MELData
from drin_pyg.files import cache_folder
from drin_pyg.graph import LinkCandidates, PairEdges, SplitEntity, SplitMention, text_rows
from drin_pyg.nn import HeteroDRIN, start_extra
from drin_pyg.training import Recipe, warm_start
from drin_pyg.vocabulary import (
    EDGE_TYPES,
    ENTITY_NAME,
    MENTION_SURFACE,
    NODE_TYPES,
    SIMILAR,
    SURFACE_NAME,
    SURFACE_TEXT,
    TEXT_NAME,
)

#: What can be added: the mention's words apart from its sentence, the entity's name apart from its description,
#: candidates of one mention joined to those like them.
SURFACE, NAME, JOINED = EXTRA = ('surface', 'name', 'joined')


class ExtraGraph:
    r"""Builds graphs with further vertices and relations, and the model for them.

    Args:
        extra: Some of :data:`EXTRA`.
        data: The data; it must hold the mentions and entities themselves.

    Raises:
        ValueError: If something else is to be added, or the data came as features alone.
    """

    def __init__(self, extra: tuple[str, ...], data: MELData):
        unknown = set(extra) - set(EXTRA)
        if unknown:
            raise ValueError(f"A graph cannot be extended by '{min(unknown)}', only by {', '.join(EXTRA)}")
        if data.entities is None:
            raise ValueError("This data came as features alone; its names and surface words are not known")
        how = Encoding(cache_folder())
        self.x: dict[NodeType, torch.Tensor] = {}
        self.edge_types: list[EdgeType] = list(EDGE_TYPES)
        steps = [PairEdges()]
        if SURFACE in extra:
            self.x[MENTION_SURFACE] = text_rows([mention.surface for mention in data.mentions], how)
            self.edge_types.append(SURFACE_TEXT)
            steps.append(SplitMention(self.x[MENTION_SURFACE]))
        if NAME in extra:
            self.x[ENTITY_NAME] = text_rows([entity.name for entity in data.entities], how)
            self.edge_types += [TEXT_NAME, *([SURFACE_NAME] if SURFACE in extra else [])]
            steps.append(SplitEntity(self.x[ENTITY_NAME]))
        if JOINED in extra:
            self.edge_types.append(SIMILAR)
            steps.append(LinkCandidates())
        self.transform = Compose(steps)
        self.data = data

    def build(self, recipe: Recipe, seed: int) -> HeteroDRIN:
        r"""The untrained model, started on the training mentions as :meth:`Recipe.build` does it."""
        options = {'hidden_channels', 'num_layers', 'dynamic', 'shared', 'residual'}
        foreign = set(recipe.model) - options
        if recipe.published or foreign:
            raise ValueError(f"Extended graphs are for recipes whose model says nothing but "
                             f"{', '.join(sorted(options))}")
        torch.manual_seed(seed)
        model = HeteroDRIN(([*NODE_TYPES, *self.x], self.edge_types), **recipe.model)
        if recipe.warm_start:
            data = self.data
            start_extra(warm_start(model, data.tables, data.candidates, data.split['train']), self.x)
        return model
