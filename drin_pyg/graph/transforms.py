r"""Transforms that take something out of a pair graph or a batch: relations, a modality, or weak candidates.

They take single graphs, and compact and plain batches of either context, and are given to
:class:`~drin_pyg.graph.CandidateLoader` as ``transform``, alone or in a
:class:`~torch_geometric.transforms.Compose`. What is taken out leaves empty stores, never missing ones. A changed
batch cannot be split into its graphs again.

:class:`DropRelation` and :class:`DropModality` draw per *mention*, from PyTorch's generator: the loss compares the
candidates of a mention, and if only some of them lacked images, it would learn to tell which. Give them to the
loader of the training mentions alone.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform
from torch_geometric.typing import EdgeType, NodeType
from torch_geometric.utils import cumsum, scatter

from drin_pyg.graph.candidate_batch import pair_of_edge
from drin_pyg.graph.extend_batch import forget_graphs
from drin_pyg.vocabulary import (
    ENTITY_IMAGE,
    ENTITY_TEXT,
    ENTITY_TYPES,
    KIND_OF,
    MENTION_IMAGE,
    RELATIONS,
    TEXT_TEXT,
)

# What a store may hold for a candidate to be taken out of it.
NODE_FIELDS = {'x', 'row', 'num_nodes', 'batch', 'ptr', 'num_images'}
EDGE_FIELDS = {'edge_index', 'edge_weight', 'pair'}
PAIR_FIELDS = ('mention', 'entity', 'y')


@functional_transform('drop_relation')
class DropRelation(BaseTransform):
    r"""Takes a relation out of the graphs of each mention with probability ``p``.

    Args:
        edge_type: The relation, as an edge type or by its name in the vocabulary.
        p: Probability; 1 takes it out always.

    Raises:
        ValueError: If ``p`` is no probability, or the graph has no such relation.
    """

    def __init__(self, edge_type: EdgeType | str, p: float = 1.0):
        self.edge_type = _edge_type(edge_type)
        self.p = _check_probability(p)

    def forward(self, data: HeteroData) -> HeteroData:
        _check_relation(data, self.edge_type)
        return _drop(data, [self.edge_type], self.p)


@functional_transform('drop_modality')
class DropModality(BaseTransform):
    r"""Takes all relations of the images out of the graphs of each mention with probability ``p``.

    The relations of a mention go together, as if it, or its candidates, had no image: a model trained this way has
    seen mentions without one. The vertices stay, but nothing reads them any more, so that scores are those of
    graphs that never had them.

    Args:
        node_types: Types of vertices whose relations go, with those of their kind
            (:data:`~drin_pyg.vocabulary.KIND_OF`). Default: the images of both sides; ``("mention_image", )``
            takes those beside the sentence alone.
        p: Probability; 1 takes them out always.

    Raises:
        ValueError: If ``p`` is no probability, or the graph has no relation of such vertices.
    """

    def __init__(self, node_types: Sequence[NodeType] = (MENTION_IMAGE, ENTITY_IMAGE), p: float = 1.0):
        self.node_types = tuple(node_types)
        self.p = _check_probability(p)

    def forward(self, data: HeteroData) -> HeteroData:
        ends = {node_type: {node_type, KIND_OF.get(node_type)} for node_type in data.node_types}
        for node_type in self.node_types:
            if not any(node_type in ends[end] for edge_type in data.edge_types for end in edge_type[::2]):
                raise ValueError(f"The graph has no relation of '{node_type}'; its relations are "
                                 f"{', '.join(name for _, name, _ in data.edge_types)}")
        chosen = set(self.node_types)
        return _drop(data, [e for e in data.edge_types if chosen & (ends[e[0]] | ends[e[2]])], self.p)


@functional_transform('keep_top_candidates')
class KeepTopCandidates(BaseTransform):
    r"""Keeps the ``k`` best candidates of each mention, and of equals the earlier.

    The graph is then the one that the shorter list would have given. For a cascade, let a cheap model rank:
    ``KeepTopCandidates(10, by=lambda batch: cheap(**forward_args(batch)))``.

    Args:
        k: Most candidates of a mention.
        by: What ranks them: a relation, as an edge type or by its name, whose first weights count (their mean if
            a pair has several edges; a pair without one comes last), or a function of the batch that gives scores
            ``[P]``, higher is better.
        keep_answer: Whether the answer stays in any case, besides the ``k``. For training alone: at test time it would
            tell which candidate it is.

    Raises:
        ValueError: If ``k`` is less than 1, the graph has no such relation, the scores are not ``[P]``, the answers
            are to be kept and not known, or a store holds a field that another transform added.

    .. note::
        In pair context a batch tells two mentions apart by their rows, so one that is asked for twice in
        succession counts as one. Scores of a model then belong to the shorter lists: what is evaluated with
        the full lists must be loaded without this transform.
    """

    def __init__(self, k: int, by: EdgeType | str | Callable[[HeteroData], Tensor] = TEXT_TEXT,
                 keep_answer: bool = False):
        if k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        self.k = k
        self.by = by if callable(by) else _edge_type(by)
        self.keep_answer = keep_answer

    def forward(self, data: HeteroData) -> HeteroData:
        keep = self._rank(data) < self.k                                      # [P]
        if self.keep_answer:
            if 'y' not in data:
                raise ValueError("'keep_answer' keeps the answers, but the graph has none ('y')")
            keep = keep | data.y
        return _keep_pairs(data, keep)

    def _rank(self, data: HeteroData) -> Tensor:
        """Place of each pair among those of its mention, from 0, int64 ``[P]``."""
        num_pairs = data.entity.numel()
        if callable(self.by):
            score = self.by(data).detach()
            if score.shape != (num_pairs, ):
                raise ValueError(f"'by' must give one score for each of the {num_pairs} pairs, got {list(score.shape)}")
        else:
            _check_relation(data, self.by)
            pair, weight = pair_of_edge(data, self.by), data[self.by].edge_weight
            score = scatter(weight, pair, dim_size=num_pairs, reduce='mean')
            score = score.masked_fill(torch.bincount(pair, minlength=num_pairs) == 0, -torch.inf)
        owner = _list_of_pair(data)                                           # [P], ascending
        order = score.argsort(descending=True, stable=True)
        order = order[owner[order].argsort(stable=True)]                      # by list, then by score
        first = cumsum(torch.bincount(owner))[owner]                          # [P]
        rank = torch.empty_like(order)
        rank[order] = torch.arange(num_pairs, device=order.device)
        return rank - first


def _drop(data: HeteroData, edge_types: Sequence[EdgeType], p: float) -> HeteroData:
    """Empties the relations of the mentions that the draw hits."""
    _forget_graphs(data)
    distinct, mention = torch.unique(data.mention, return_inverse=True)       # [P]
    stays = (torch.rand(distinct.numel()) >= p).to(mention.device)[mention]   # [P]
    for edge_type in edge_types:
        _keep_edges(data, edge_type, stays[pair_of_edge(data, edge_type)])
    return data


def _keep_edges(data: HeteroData, edge_type: EdgeType, keep: Tensor) -> None:
    store = data[edge_type]
    for name in [name for name in store if store.is_edge_attr(name)]:  # asked of all before the first is cut
        store[name] = store[name][:, keep] if name == 'edge_index' else store[name][keep]


def _keep_pairs(data: HeteroData, keep: Tensor) -> HeteroData:
    """The graph or batch of the pairs in ``keep`` ``[P]``."""
    _check_fields(data, keep)
    _forget_graphs(data)
    batched = 'batch' in data[ENTITY_TEXT]
    graph_stays = None
    if batched:  # a graph is a mention, which stays if empty, or one pair, which goes with it
        graph_stays = keep if _is_pair_context(data) else keep.new_ones(data.num_graphs)  # [G]
    counts = data[ENTITY_TEXT].num_images                                     # [P]
    image = torch.repeat_interleave(counts)
    number, stays = {}, {}
    for node_type in data.node_types:
        store = data[node_type]
        if KIND_OF.get(node_type, node_type) in ENTITY_TYPES:
            stay = keep[image] if node_type == ENTITY_IMAGE else keep         # [N]
        else:
            stay = graph_stays[store.batch] if batched else keep.new_ones(store.num_nodes)
        stays[node_type], number[node_type] = stay, stay.cumsum(0) - 1        # the new number of each vertex
        if 'row' in store:
            distinct, store.row = torch.unique(store.row[stay], return_inverse=True)
            store.x, store.num_nodes = store.x[distinct], store.row.numel()
        else:
            store.x = store.x[stay]
        if batched:
            store.batch = (graph_stays.cumsum(0) - 1)[store.batch[stay]]
            store.ptr = cumsum(torch.bincount(store.batch, minlength=int(graph_stays.sum())))
    data[ENTITY_TEXT].num_images = counts[keep]
    pair_number = keep.cumsum(0) - 1
    for edge_type in data.edge_types:
        store, (src, _, dst) = data[edge_type], edge_type
        _keep_edges(data, edge_type, stays[src][store.edge_index[0]] & stays[dst][store.edge_index[1]])
        store.edge_index = torch.stack([number[src][store.edge_index[0]], number[dst][store.edge_index[1]]])  # [2, E]
        if 'pair' in store:
            store.pair = pair_number[store.pair]
    for name in PAIR_FIELDS:
        if name in data:
            data[name] = data[name][keep]
    if batched:
        data._num_graphs = int(graph_stays.sum())
    return data


def _check_fields(data: HeteroData, keep: Tensor) -> None:
    """Refuses what another transform added and nobody here can cut."""
    known = {**dict.fromkeys(data.node_types, NODE_FIELDS), **dict.fromkeys(data.edge_types, EDGE_FIELDS)}
    for name, fields in known.items():
        if unknown := set(data[name].keys()) - fields:
            raise ValueError(f"data[{name!r}] holds '{min(unknown)}', which belongs to the longer lists; put "
                             f"KeepTopCandidates before the transform that adds it")
    # One row per pair: not one per mention (`AddSequences`), as long as a list is cut.
    others = [name for name, value in data._global_store.items() if isinstance(value, Tensor)
              and name not in PAIR_FIELDS and value.dim() and value.size(0) == keep.numel()]
    if others and not bool(keep.all()):
        raise ValueError(f"The graph holds '{others[0]}', which may belong to the longer lists; put "
                         f"KeepTopCandidates before the transform that adds it")


def _is_pair_context(data: HeteroData) -> bool:
    """Whether every graph of a batch holds one pair."""
    graph = data[ENTITY_TEXT].batch
    return graph.numel() == data.num_graphs and bool((graph[1:] > graph[:-1]).all())


def _list_of_pair(data: HeteroData) -> Tensor:
    """The list that each pair is in, ascending, int64 ``[P]``: its graph, or in pair context its mention."""
    if 'batch' in data[ENTITY_TEXT] and not _is_pair_context(data):
        return data[ENTITY_TEXT].batch
    return torch.unique_consecutive(data.mention, return_inverse=True)[1]


def _forget_graphs(data: HeteroData) -> None:
    if 'batch' in data[ENTITY_TEXT]:  # a single graph has none to forget
        forget_graphs(data)


def _edge_type(edge_type: EdgeType | str) -> EdgeType:
    if isinstance(edge_type, str):
        if edge_type not in RELATIONS:
            raise ValueError(f"There is no relation '{edge_type}'; there are {', '.join(RELATIONS)}")
        return RELATIONS[edge_type]
    return tuple(edge_type)


def _check_relation(data: HeteroData, edge_type: EdgeType) -> None:
    if edge_type not in data.edge_types:
        raise ValueError(f"The graph has no relation {edge_type}; its relations are "
                         f"{', '.join(name for _, name, _ in data.edge_types)}")


def _check_probability(p: float) -> float:
    if not 0 <= p <= 1:
        raise ValueError(f"'p' must be a probability, 0 to 1, got {p}")
    return p
