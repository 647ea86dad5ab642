r"""Relation diagnostics of a trained DRIN: what its relations do, layer by layer, and what depends on them."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch_geometric.typing import EdgeType

from drin_pyg.evaluation.diagnose_findings import find
from drin_pyg.evaluation.diagnose_pass import (
    PARTS,
    Depth,
    Part,
    depths,
    intervened_scores,
    interventions,
    score_terms,
    total,
)
from drin_pyg.evaluation.diagnose_records import Ablation, DepthReading, Diagnosis, OrderUpdate, ScoreShare
from drin_pyg.evaluation.diagnose_vertices import VertexSample
from drin_pyg.evaluation.diagnose_weights import (
    WeightStatistics,
    deviation,
    mean_and_error,
    order_correlation,
    weight_statistics,
)
from drin_pyg.evaluation.pair_weights import pair_weights
from drin_pyg.evaluation.ranks import gold_ranks
from drin_pyg.evaluation.significance import paired_test
from drin_pyg.features import Candidates, PairTables
from drin_pyg.graph import CandidateLoader
from drin_pyg.graph.candidate_batch import Context
from drin_pyg.nn import DRIN

SATURATED = 0.01  # a sigmoid this close to 0 or 1 has less than a twenty-fifth of its steepest gradient


@torch.no_grad()
def diagnose(
    model: DRIN,
    tables: PairTables,
    candidates: Candidates,
    mention: Tensor | None = None,
    *,
    context: Context = 'pair',
    max_pairs: int = 8192,
    seed: int = 0,
    progress: Callable | None = None,
) -> Diagnosis:
    r"""Looks for the ways in which the relations of a trained model fail.

    Two passes over the mentions: one that watches the weights (DRIN, `arXiv:2310.05589
    <https://arxiv.org/abs/2310.05589>`_, Section 3.4) and vertices of each depth, and one in which the model runs
    under every :class:`Intervention`.

    Args:
        model: The model, in evaluation mode.
        tables: Features and first weights.
        candidates: Candidate lists and answers; list ``m`` belongs to mention row ``m`` of ``tables``.
        mention: Mentions to look at, int64 ``[B]`` (default: all).
        context: The context the model was trained in; see :func:`~drin_pyg.graph.candidate_batch`.
        max_pairs: Pairs at once.
        seed: Seed of the sample of vertices and of the tests' swaps.
        progress: Wraps the loader of each pass, such as ``tqdm``.

    Raises:
        ValueError: If the model is no DRIN, or no mention has its answer among two candidates or more.
    """
    if not isinstance(model, DRIN):
        raise ValueError(f"Relation diagnostics need a DRIN, whose relations they are, got a {type(model).__name__}")
    mention = torch.arange(candidates.num_mentions) if mention is None else mention
    lists = candidates.select(mention)
    y = lists.y
    answered = torch.zeros(lists.num_mentions, dtype=torch.bool).index_fill_(0, lists.mention[y], True)
    if not bool((answered & (lists.counts > 1)).any()):
        raise ValueError(f"None of the {lists.num_mentions} mentions has its answer and another candidate in its list, "
                         f"so there is nothing to tell apart; choose another split or retrieve candidates")
    device = next(model.parameters()).device
    loader = CandidateLoader(tables, candidates, mention, max_pairs=max_pairs, context=context)
    wrap = progress or (lambda batches: batches)

    watched = _Watch(model, lists, seed)
    for batch in wrap(loader):
        if batch.entity.numel():
            watched.add(batch, list(depths(model, batch.to(device))))
    scores = total(model, watched.terms)

    tried = interventions(model, watched.means())
    parts: list[list[Tensor]] = [[] for _ in tried]
    for batch in wrap(loader):
        if batch.entity.numel():
            batch = batch.to(device)
            for scored, intervention in zip(parts, tried, strict=True):
                scored.append(intervened_scores(model, batch, intervention).cpu())

    hit = _hits(scores, lists)
    ablations = [_ablation(intervention.name, intervention.relation, hit, _hits(torch.cat(scored), lists), seed)
                 for intervention, scored in zip(tried, parts, strict=True)]
    accuracy, error = mean_and_error(hit)
    readings = [DepthReading(depth, *mean_and_error(_hits(torch.cat(read), lists)))
                for depth, read in enumerate(watched.readings)]
    found = Diagnosis(lists.num_mentions, lists.num_pairs, model.num_layers, context, accuracy, error,
                      watched.weight_statistics(), watched.updates(), watched.vertices.statistics(), readings,
                      _shares(watched.terms, sum(watched.terms.values()), lists.mention), ablations)
    return replace(found, findings=find(model, found))


class _Watch:
    """What the first pass gathers, batch by batch."""

    def __init__(self, model: DRIN, lists: Candidates, seed: int):
        num_depths = model.num_layers + 1
        self.model = model
        self.lists = lists
        self.vertices = VertexSample(lists, seed=seed)
        self.readings: list[list[Tensor]] = [[] for _ in range(num_depths)]
        self._seen = 0
        self._terms: dict[tuple[EdgeType, Part], list[Tensor]] = {}
        self._weights: dict[EdgeType, list[list[Tensor]]] = {e: [[] for _ in range(num_depths)]
                                                             for e in model.edge_types}
        self._sums: dict[tuple[EdgeType, int], Tensor] = {}
        self._saturated: dict[tuple[EdgeType, int], list[int]] = {}  # weights at the ends, weights
        self._num_edges: dict[tuple[EdgeType, int], int] = {}

    def add(self, batch, found: list[Depth]) -> None:
        weights = pair_weights(batch, [depth.weights for depth in found])
        for depth, at in enumerate(found):
            terms = score_terms(self.model, batch, at)
            self.vertices.add(depth, batch, self._seen, at.x_dict)
            self.readings[depth].append(total(self.model, terms).cpu())
            for edge_type, weight in at.weights.items():
                key = edge_type, depth
                self._sums[key] = self._sums.get(key, 0) + weight.double().sum(0)      # [] or [D]
                self._num_edges[key] = self._num_edges.get(key, 0) + weight.size(0)
                ends, count = self._saturated.get(key, (0, 0))
                ends += int(((weight < SATURATED) | (weight > 1 - SATURATED)).sum())
                self._saturated[key] = ends, count + weight.numel()
            for edge_type in self.model.edge_types:
                self._weights[edge_type][depth].append(weights[edge_type[1]][depth])
        for key, term in terms.items():  # of the last depth
            self._terms.setdefault(key, []).append(term.cpu())
        self._seen += batch.entity.numel()

    @property
    def terms(self) -> dict[tuple[EdgeType, Part], Tensor]:
        return {key: torch.cat(parts) for key, parts in self._terms.items()}

    def means(self) -> dict[EdgeType, list[Tensor | None]]:
        return {edge_type: [self._sums[edge_type, depth] / self._num_edges[edge_type, depth]
                            if self._num_edges.get((edge_type, depth)) else None
                            for depth in range(self.model.num_layers + 1)]
                for edge_type in self.model.edge_types}

    def _by_depth(self, edge_type: EdgeType) -> list[Tensor]:
        return [torch.cat(parts) for parts in self._weights[edge_type]]

    def weight_statistics(self) -> list[WeightStatistics]:
        result = []
        for edge_type in self.model.edge_types:
            for depth, weight in enumerate(self._by_depth(edge_type)):
                ends, count = self._saturated.get((edge_type, depth), (0, 0))
                squashed = self.model.dynamic and depth > 0 and count > 0
                result.append(weight_statistics(edge_type[1], depth, weight, self.lists,
                                                ends / count if squashed else math.nan))
        return [found for found in result if found is not None]

    def updates(self) -> list[OrderUpdate]:
        result = []
        for edge_type in self.model.edge_types if self.model.dynamic else ():
            weights = self._by_depth(edge_type)
            for layer in range(1, len(weights)):
                value = order_correlation(weights[layer - 1], weights[layer], self.lists)
                if value.numel():
                    result.append(OrderUpdate(edge_type[1], layer, *mean_and_error(value), value.numel()))
        return result


def _hits(scores: Tensor, lists: Candidates) -> Tensor:
    return (gold_ranks(scores, lists) == 1).double()


def _ablation(name: str, relation: str | None, hit: Tensor, other: Tensor, seed: int) -> Ablation:
    drop, error = mean_and_error(hit - other)
    differ = hit != other
    # Mentions with the same result add nothing to the difference, swapped or not: leaving them out saves time alone.
    # One that differs may as well have fallen the other way.
    p_value = 1.0
    if int(differ.sum()) > 1:
        p_value = paired_test(np.asarray(hit[differ]), np.asarray(other[differ]), seed=seed)
    return Ablation(name, relation, float(other.mean()), drop, error, p_value, float(differ.double().mean()))


def _shares(terms: dict[tuple[EdgeType, Part], Tensor], scores: Tensor, mention: Tensor) -> list[ScoreShare]:
    own = deviation(scores.double(), mention)
    variance = own.square().sum()
    keys = sorted(terms, key=lambda key: PARTS.index(key[1]))
    return [ScoreShare(edge_type[1], part,
                       float((deviation(terms[edge_type, part].double(), mention) * own).sum() / variance))
            for edge_type, part in keys]
