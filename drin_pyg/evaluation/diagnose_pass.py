r"""A trained DRIN run once more with something in it held fixed or left out."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType, NodeType
from torch_geometric.utils import scatter

from drin_pyg.graph import forward_args, pair_of_edge
from drin_pyg.nn import DRIN, EdgeRule
from drin_pyg.vocabulary import TEXT_TEXT

Part = Literal['weight', 'cosine']
Terms = dict[tuple[EdgeType, Part], Tensor]  # each [P]; the score is their sum
PARTS: tuple[Part, ...] = ('weight', 'cosine')


@dataclass(frozen=True)
class Depth:
    r"""What a model holds at one depth.

    Args:
        number: 0 for what enters layer 1, ``l`` for what leaves layer ``l``.
        x_dict: Vertices, one row each, of the node types that are computed there.
        weights: Edge weights of the relations that are computed there.
    """

    number: int
    x_dict: dict[NodeType, Tensor]
    weights: dict[EdgeType, Tensor]


@dataclass(frozen=True)
class Intervention:
    r"""What is changed in a trained model for one pass over the test mentions.

    Args:
        name: What it is called in results.
        relation: Name of the relation that is concerned, if it is one.
        model: The model that runs, if another one.
        fixed: For some relations, the value that all their edges have at each depth, ``[]`` or ``[D]``.
        strength: For some relations, how much they count; see :func:`depths`.
        unread: Terms that are left out of the score.
    """

    name: str
    relation: str | None = None
    model: DRIN | None = None
    fixed: dict[EdgeType, list[Tensor | None]] = field(default_factory=dict)
    strength: dict[EdgeType, float] = field(default_factory=dict)
    unread: frozenset[tuple[EdgeType, Part]] = frozenset()


def depths(model: DRIN, batch: HeteroData, fixed: dict[EdgeType, list[Tensor | None]] | None = None,
           strength: dict[EdgeType, float] | None = None) -> Iterator[Depth]:
    r"""Runs a model on a batch and shows what it holds at each depth.

    Args:
        model: The model.
        batch: The graphs.
        fixed: As in :class:`Intervention`.
        strength: Relation to how much it counts: what its weights are multiplied by as they enter each layer, and
            its terms of the score (:func:`score_terms`); 0 switches it off as in the paper, 1 changes nothing.
    """
    args = forward_args(batch)
    args.pop('num_images')
    given: dict[EdgeType, Tensor] = {}
    for depth, (x_dict, weights, row_dict) in enumerate(model.layers(**args)):
        for edge_type, values in (fixed or {}).items():
            if edge_type in weights:
                weights[edge_type] = values[depth].to(weights[edge_type]).expand_as(weights[edge_type])
        for edge_type, factor in (strength or {}).items():
            if edge_type in weights:
                if depth and not model.dynamic:  # a layer hands on what it was given, and that was multiplied
                    weights[edge_type] = given[edge_type]
                if depth < model.num_layers:
                    given[edge_type] = weights[edge_type]
                    weights[edge_type] = factor * given[edge_type]
        if row_dict is not None:
            x_dict = {t: x[row_dict[t]] for t, x in x_dict.items()}
        yield Depth(depth, x_dict, weights)


def score_terms(model: DRIN, batch: HeteroData, at: Depth, strength: dict[EdgeType, float] | None = None) -> Terms:
    r"""What a score that is read at a depth is made of: its sum, or what :meth:`DRIN.combine` makes of it.

    Args:
        model: The model.
        batch: The graphs.
        at: The depth; weights that a dynamic layer made are read as logits.
        strength: As for :func:`depths`; a model that reads no relations has no terms of theirs.

    Returns:
        Relation and part to ``[P]``; the cosine of the texts alone if the model reads no relations.
    """
    num_pairs, terms = batch.entity.numel(), {}
    for r, edge_type in enumerate(model.edge_types if model.read_relations else [TEXT_TEXT]):
        (src, _, dst), edge_index = edge_type, batch[edge_type].edge_index
        pair = pair_of_edge(batch, edge_type)                                                            # [E]
        cosine = torch.cosine_similarity(at.x_dict[src][edge_index[0]], at.x_dict[dst][edge_index[1]])  # [E]
        values = {'cosine': cosine}
        if model.read_relations:
            weight = at.weights[edge_type]
            weight = torch.logit(weight, eps=1e-6) if model.dynamic and at.number > 0 else weight
            weight = weight.mean(-1) if weight.dim() == 2 else weight                                    # [E]
            factor = (strength or {}).get(edge_type, 1.0)
            values = {'weight': factor * model.relation_scale[r] * weight,
                      'cosine': factor * model.cosine_scale[r] * cosine}
        for part, value in values.items():
            terms[edge_type, part] = scatter(value, pair, dim_size=num_pairs, reduce='mean')             # [P]
    return terms


def total(model: DRIN, terms: Terms, unread: frozenset[tuple[EdgeType, Part]] = frozenset()) -> Tensor:
    r"""The score ``[P]`` without the terms ``unread``."""
    kept: dict[EdgeType, Tensor] = {}
    for key, value in terms.items():
        if key not in unread:
            kept[key[0]] = kept.get(key[0], 0) + value
    return model.combine(kept) if model.read_relations else sum(kept.values())


def intervened_scores(model: DRIN, batch: HeteroData, intervention: Intervention) -> Tensor:
    r"""Scores ``[P]`` of a batch under an intervention."""
    *_, last = depths(intervention.model or model, batch, intervention.fixed, intervention.strength)
    return total(model, score_terms(model, batch, last, intervention.strength), intervention.unread)


def without_update(model: DRIN) -> DRIN:
    r"""The model with edge rules that see no vertex: scalar edges become :math:`e^{\prime} = \sigma(e)`.

    (Vector edges keep their own map :math:`\mathbf{W}_m \mathbf{e} + \mathbf{b}_m`.)
    """
    model = deepcopy(model)
    for rule in model.modules():
        if isinstance(rule, EdgeRule):
            for lin in (rule.lin_u, rule.lin_v):
                torch.nn.init.zeros_(lin.weight)
                torch.nn.init.zeros_(lin.bias)
    return model


def interventions(model: DRIN, means: dict[EdgeType, list[Tensor | None]]) -> list[Intervention]:
    r"""All that is tried on a model.

    * ``"static update"``: the learned part of the edge update is taken out (:func:`without_update`).
    * ``"mean weight"`` of a relation: its weights are replaced at every depth by their mean over all
      pairs, so that they cannot tell candidates apart.
    * ``"without"`` a relation: its strength is 0.
    * ``"alone"``: so are all the others.
    * ``"no weight part"``, ``"no cosine part"``: that half of the score is not read.

    A model that reads no relations compares the texts in each of them.

    Args:
        model: The model.
        means: Mean weight of each relation at each depth, over the edges; None where it is not computed.
    """
    result = []
    if model.dynamic and any(isinstance(module, EdgeRule) for module in model.modules()):
        result.append(Intervention('static update', model=without_update(model)))
    there = [e for e in model.edge_types if any(mean is not None for mean in means[e])]
    result += [Intervention('mean weight', e[1], fixed={e: means[e]}) for e in there]
    if len(there) > 1:
        result += [Intervention('without', e[1], strength={e: 0.0}) for e in there]
        result += [Intervention('alone', e[1], strength={other: 0.0 for other in model.edge_types if other != e})
                   for e in there]
    if model.read_relations:
        result += [Intervention(f'no {part} part', unread=frozenset((e, part) for e in model.edge_types))
                   for part in PARTS]
    return result
