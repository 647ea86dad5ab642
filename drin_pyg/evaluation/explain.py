r"""One mention explained: why the answer is ahead of its strongest rival, through :mod:`torch_geometric.explain`."""

# No `__all__` here: PyG renders `propagate` of EdgeGate from a template that star-imports this module.
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.explain import CaptumExplainer, Explainer, GNNExplainer
from torch_geometric.explain.algorithm.utils import clear_masks, set_hetero_masks
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.nn.module_dict import ModuleDict
from torch_geometric.typing import EdgeType, NodeType

from drin_pyg.evaluation.diagnose_pass import depths, score_terms, total
from drin_pyg.evaluation.diagnose_vertices import pair_of_vertex
from drin_pyg.features import Candidates, PairTables
from drin_pyg.graph import candidate_batch, pair_of_edge
from drin_pyg.graph.candidate_batch import Context
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import ENTITY_TEXT, ENTITY_TYPES, MENTION_TYPES, NODE_TYPES

Algorithm = Literal['captum', 'gnn']
LR = 0.1  # of the masks; at PyG's 0.01 they have hardly left their start after the few steps that a person waits for


@dataclass(frozen=True)
class CandidateExplanation:
    r"""What a candidate's score rests on.

    Args:
        entity: Row of the entity.
        score: Its score.
        is_gold: Whether it is the answer; None if that is not known.
        base: Score of the empty graph, in which features and edges are masked by 0 (vertices are then the encoders'
            biases, whose cosine counts).
        terms: Relation to the terms of the score, ``weight`` and ``cosine``; exact, they add up to the score.
        edges: Relation to the importance of the candidate's own edges.
        other_edges: Relation to that of other candidates' edges, which reach it through shared
            mention vertices (``context="mention"`` alone).
        vertices: Node type to the importance of the features of the mention's and candidate's vertices.
        other_vertices: Node type to that of other candidates' vertices, in the same way.
        details: What was added up: ``edge_mask`` by relation ``[E]`` and ``node_mask`` by node type
            ``[N, F]``, on the graphs of :func:`~drin_pyg.graph.candidate_batch`.
    """

    entity: int
    score: float
    is_gold: bool | None
    base: float
    terms: dict[str, dict[str, float]]
    edges: dict[str, float]
    other_edges: dict[str, float]
    vertices: dict[NodeType, float]
    other_vertices: dict[NodeType, float]
    details: dict[str, dict[str, Tensor]] = field(repr=False)

    @property
    def left_over(self) -> float:
        r"""Score less ``base`` and all importances: with Integrated Gradients, the error of too few ``steps``."""
        parts = (self.edges, self.other_edges, self.vertices, self.other_vertices)
        return self.score - self.base - sum(sum(part.values()) for part in parts)

    def to_dict(self) -> dict:
        r"""Plain numbers for JSON, without ``details``."""
        return {key: value for key, value in asdict(self).items() if key != 'details'}


def explain_mention(
    model: DRIN,
    tables: PairTables,
    candidates: Candidates,
    mention: int,
    entities: Sequence[int] | None = None,
    *,
    algorithm: Algorithm = 'captum',
    context: Context = 'pair',
    steps: int = 50,
    seed: int = 0,
) -> list[CandidateExplanation]:
    r"""Explains the scores of some candidates of a mention.

    What is masked is the vertices' features and the edges; a masked edge has the first weight 0 and
    sends no message. Two algorithms:

    * ``"captum"``: Integrated Gradients (`"Axiomatic Attribution for Deep Networks"
      <https://arxiv.org/abs/1703.01365>`_, ICML 2017), from no features and no edges to the graph as
      it is. Importances are in units of the score, signed, and add up to the score less ``base``,
      up to the error of ``steps``. Needs captum.
    * ``"gnn"``: GNNExplainer (`arXiv:1903.03894 <https://arxiv.org/abs/1903.03894>`_): how far each
      mask of a smallest sufficient graph is open, 0..1, without a sign; means here, not sums.

    Args:
        model: The model.
        tables: Features and first weights.
        candidates: Candidate lists.
        mention: The mention.
        entities: Rows of the candidates to explain; default: the best one, and its strongest rival
            (the gold, if another one is best and it is in the list).
        algorithm: See above.
        context: The context the model was trained in.
        steps: Points of the integral, or training steps of the masks.
        seed: Seed of the masks' start.

    Raises:
        ImportError: If captum is needed and missing.
        ValueError: If the mention has no candidates, or an entity is none of them.
    """
    if algorithm not in ('captum', 'gnn'):
        raise ValueError(f"'algorithm' must be 'captum' or 'gnn', got {algorithm!r}")
    if algorithm == 'captum' and find_spec('captum') is None:
        raise ImportError("Integrated Gradients come from captum, which is not installed; run "
                          "`pip install 'drin_pyg[explain]'`, or choose the algorithm 'gnn'")
    batch = candidate_batch(tables, candidates, torch.tensor([mention]), context=context)
    if batch.entity.numel() == 0:
        raise ValueError(f"Mention {mention} has no candidates to explain")
    batch = batch.to(next(model.parameters()).device)
    with torch.no_grad():
        *_, last = depths(model, batch)
        terms = score_terms(model, batch, last)
        scores = total(model, terms)
    pairs = _chosen(batch, scores) if entities is None else [_pair_of(batch, entity, mention) for entity in entities]
    return [_explain(model, batch, pair, scores, terms, algorithm, steps, seed) for pair in pairs]


class EdgeGate(MessagePassing):
    r"""Passes edge weights ``[E]`` on, each through the explainer's mask of its edge."""

    def __init__(self):
        super().__init__(aggr='sum')

    def forward(self, edge_weight: Tensor) -> Tensor:
        edge = torch.arange(edge_weight.numel(), device=edge_weight.device)
        # propagate_type: (x: Tensor)
        return self.propagate(torch.stack([edge, edge]), x=edge_weight.unsqueeze(-1)).squeeze(-1)  # [E]

    def message(self, x_j: Tensor) -> Tensor:
        return x_j


class MaskableDRIN(torch.nn.Module):
    r"""A DRIN as explainers take it: two dictionaries in, and every node and edge of them has a gradient.

    Explainers reach a model's messages, but not the weights that its score reads; here a mask also
    scales the first weight, from which both follow.

    Args:
        model: The model.
        batch: The graphs, not compact. What explainers leave out (types without vertices or edges) is taken from it.
        squash: Whether masks are logits (GNNExplainer's are) or multiply as they are (those of Captum).
    """

    def __init__(self, model: DRIN, batch: HeteroData, squash: bool):
        super().__init__()
        self.model = model
        self.batch = batch
        self.squash = squash
        self.gates = ModuleDict({edge_type: EdgeGate() for edge_type in model.edge_types})

    def forward(self, x_dict: dict[NodeType, Tensor], edge_index_dict: dict[EdgeType, Tensor]) -> Tensor:
        for module in self.modules():  # PyG's CaptumExplainer would squash its masks 0..1, too: a half to 0.73
            if isinstance(module, MessagePassing) and module.explain:
                module._apply_sigmoid = self.squash
        weights = dict(self.batch.edge_weight_dict)
        for edge_type in edge_index_dict:
            weights[edge_type] = self.gates[edge_type](weights[edge_type])
        scores = self.model(self.batch.x_dict | x_dict, self.batch.edge_index_dict, weights,
                            num_images=self.batch[ENTITY_TEXT].num_images)
        # What the model does not read has the gradient 0; explainers refuse one that is missing.
        unread = sum(x.sum() for x in (*x_dict.values(), *(weights[e] for e in edge_index_dict)))
        return scores + 0 * unread


def _explain(model: DRIN, batch: HeteroData, pair: int, scores: Tensor, terms: dict, algorithm: Algorithm, steps: int,
             seed: int) -> CandidateExplanation:
    x_dict = {t: batch[t].x for t in NODE_TYPES if t in model.encoders and batch[t].x.size(0)}
    edge_index_dict = {e: batch[e].edge_index for e in model.edge_types if batch[e].edge_index.size(1)}
    if algorithm == 'captum':
        how = CaptumExplainer('IntegratedGradients', n_steps=steps)
    else:
        how = GNNExplainer(epochs=steps, lr=LR)
    maskable = MaskableDRIN(model, batch, squash=algorithm == 'gnn')
    explainer = Explainer(maskable, how, explanation_type='model', node_mask_type='attributes',
                          edge_mask_type='object' if edge_index_dict else None,
                          model_config={'mode': 'regression', 'task_level': 'graph', 'return_type': 'raw'})
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(seed)
        found = explainer(x_dict, edge_index_dict, index=torch.tensor([pair], device=scores.device))
    model.zero_grad(set_to_none=True)  # GNNExplainer's training reaches the model's parameters as well
    node_mask = {t: mask.detach().cpu() for t, mask in found.collect('node_mask').items()}
    edge_mask = {e: mask.detach().cpu() for e, mask in found.collect('edge_mask').items()} if edge_index_dict else {}

    add_up = torch.sum if algorithm == 'captum' else torch.mean
    # In graphs of their own, candidates do not see one another: the masks of others are 0, or were never trained.
    shared = batch.num_graphs == 1 and batch.entity.numel() > 1
    edges, vertices, other_edges, other_vertices = {}, {}, {}, {}
    for edge_type, mask in edge_mask.items():
        own = pair_of_edge(batch, edge_type).cpu() == pair                                   # [E]
        edges[edge_type[1]] = _added(add_up, mask[own])
        if shared:
            other_edges[edge_type[1]] = _added(add_up, mask[~own])
    for node_type, mask in node_mask.items():
        own = pair_of_vertex(batch, node_type).cpu() == pair                                 # [N]
        if shared and node_type in MENTION_TYPES:
            own = torch.ones_like(own)
        vertices[node_type] = _added(add_up, mask[own])
        if shared and node_type in ENTITY_TYPES:
            other_vertices[node_type] = _added(add_up, mask[~own])
    parts: dict[str, dict[str, float]] = {}
    for (edge_type, part), value in terms.items():
        parts.setdefault(edge_type[1], {})[part] = float(value[pair])
    return CandidateExplanation(
        entity=int(batch.entity[pair]),
        score=float(scores[pair]),
        is_gold=bool(batch.y[pair]) if 'y' in batch else None,
        base=_empty_score(model, batch, x_dict, edge_index_dict, pair),
        terms=parts,
        edges=edges,
        other_edges=other_edges,
        vertices=vertices,
        other_vertices=other_vertices,
        details={'edge_mask': {e[1]: mask for e, mask in edge_mask.items()}, 'node_mask': node_mask},
    )


def _added(add_up: Callable[[Tensor], Tensor], mask: Tensor) -> float:
    return float(add_up(mask)) if mask.numel() else 0.0


@torch.no_grad()
def _empty_score(model: DRIN, batch: HeteroData, x_dict: dict, edge_index_dict: dict, pair: int) -> float:
    """Score of the pair with all masks at 0."""
    maskable = MaskableDRIN(model, batch, squash=False)
    set_hetero_masks(maskable, {e: torch.zeros_like(batch[e].edge_weight) for e in edge_index_dict}, edge_index_dict)
    try:
        return float(maskable({t: torch.zeros_like(x) for t, x in x_dict.items()}, edge_index_dict)[pair])
    finally:
        clear_masks(maskable)


def _chosen(batch: HeteroData, scores: Tensor) -> list[int]:
    """The best pair, and the gold or, if that is it, the next one of another entity."""
    order = torch.argsort(scores, descending=True, stable=True)
    first = int(order[0])
    if 'y' in batch and bool(batch.y.any()) and not bool(batch.y[first]):
        rivals = order[batch.y[order]]
    else:
        rivals = order[batch.entity[order] != batch.entity[first]]
    return [first, *rivals[:1].tolist()]


def _pair_of(batch: HeteroData, entity: int, mention: int) -> int:
    places = (batch.entity == entity).nonzero().flatten()
    if places.numel() == 0:
        raise ValueError(f"Entity {entity} is no candidate of mention {mention}; candidates are "
                         f"{', '.join(map(str, batch.entity.tolist()))}")
    return int(places[0])
