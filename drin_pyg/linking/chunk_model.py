r"""A trained model on chunks of candidates: DRIN's arithmetic with all that can be shared taken out of the pairs."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.typing import EdgeType, NodeType

from drin_pyg.features import Candidates
from drin_pyg.features.side_tables import SideTables
from drin_pyg.linking.candidate_chunk import CandidateChunk
from drin_pyg.linking.entity_index import EntityIndex
from drin_pyg.linking.frozen_layer import FrozenLayer
from drin_pyg.linking.index_part import hidden_name, vertex_name, weight_name
from drin_pyg.linking.vertex_slots import ManySlots
from drin_pyg.nn import DRIN
from drin_pyg.nn.drin import doubted
from drin_pyg.nn.drin_layers import NORM_EPS
from drin_pyg.vocabulary import ENTITY_TEXT, ENTITY_TYPES, MENTION_IMAGE, MENTION_TEXT, MENTION_TYPES, TEXT_TEXT

LOGIT_EPS = 1e-6  # as DRIN's score has it


class MentionVertices(NamedTuple):
    """Mention vertices that enter a layer, and what follows from them alone."""

    x: dict[NodeType, Tensor]                         # [B, 1 or K, I, D]
    sent: dict[tuple[str, NodeType], Tensor]          # before the first layer: W_h u of (receiver's W_h, mention type)
    query: dict[EdgeType, tuple[Tensor, Tensor]]      # of the edge update, see FrozenLayer.query

    def part(self, rows: slice) -> 'MentionVertices':
        """Of some mentions."""
        return MentionVertices({t: x[rows] for t, x in self.x.items()}, {k: x[rows] for k, x in self.sent.items()},
                               {e: (q[rows], c[rows]) for e, (q, c) in self.query.items()})


class ChunkState(NamedTuple):
    """What a chunk brings into a layer."""

    depth: int
    x: dict[NodeType, Tensor]                         # entity vertices [N, D]; gathered as needed before the first
    e: dict[EdgeType, Tensor]                         # in the layout of the slots of the relation's entity type
    hidden: dict[tuple[str, NodeType], Tensor]        # before the first: W_h v of (receiver's W_h, entity type)
    own: MentionVertices | None                       # mention vertices, once every pair has its own


class SentSums:
    """What whole lists send to the mention vertices of a layer: sums ``[B, I, D]`` and numbers ``[B]`` by relation."""

    def __init__(self, layer: FrozenLayer, x: dict[NodeType, Tensor], dtype: torch.dtype):
        edge_types = [e for e in layer.edge_types if e[0] in layer.node_types]
        self.value = {e: torch.zeros_like(x[e[0]].squeeze(1), dtype=dtype) for e in edge_types}
        self.count = {e: torch.zeros(len(x[e[0]]), dtype=torch.long, device=x[e[0]].device) for e in edge_types}


class ChunkModel:
    r"""Steps of a forward pass over one chunk of candidates.

    Args:
        model: A trained model with scalar edges.
        index: Entities, built with this model.
        context: Whose mention vertices.
        dtype: What vertices are computed in; edge weights and scores are float32 at least.
        device: Where.
    """

    def __init__(self, model: DRIN, index: EntityIndex, context: str, dtype: torch.dtype, device: torch.device):
        self.index = index
        self.context = context
        self.dtype = dtype
        self.device = device
        self.weight_dtype = torch.promote_types(dtype, torch.float32)
        self.width = model.hidden_channels
        self.dynamic = model.dynamic and model.num_layers > 0
        self.edge_types = model.edge_types
        self.encoders = {t: (lin.weight.detach().to(device, self.weight_dtype),
                             lin.bias.detach().to(device, self.weight_dtype))
                         for t, lin in model.encoders.items() if t in MENTION_TYPES}
        self.layers = [FrozenLayer(conv, dtype, device) for conv in model.convs]
        self.read = None
        if model.read_relations:
            self.read = list(zip(model.relation_scale.tolist(), model.cosine_scale.tolist(), strict=True))
        self.doubt = [value.detach().to(device) for value in model.doubt()] if model.doubt_images else None
        # Entity types that the score reads. While mention vertices are shared and known, entity types do not meet.
        self.score_types = ENTITY_TYPES if self.read else [ENTITY_TEXT]
        self.first_edge_types = self.layers[0].edge_types if self.layers else (self.edge_types if self.read else [])
        self._buffers: dict[str, Tensor] = {}

    # What enters the first layer

    def check(self, mentions: SideTables, lists: Candidates | None) -> None:
        """Raises ValueError unless the mentions' features have the widths that the model and the index have."""
        for t, x in zip(MENTION_TYPES, (mentions.text, mentions.image), strict=True):
            width = self.encoders[t][0].size(1) if t in self.encoders else x.size(1)
            if x.size(1) != width:
                raise ValueError(f"The model takes '{t}' features of width {width}, got {x.size(1)}")
        for edge_type in self.first_edge_types:
            width, given = self.index.widths[weight_name(edge_type)], lists is not None and edge_type in lists.weight
            if not given and mentions.weight[edge_type].size(1) != width:
                raise ValueError(f"The mentions' table of weight['{edge_type[1]}'] has width "
                                 f"{mentions.weight[edge_type].size(1)}, that of the index {width}")

    def encode(self, mentions: SideTables, mention: Tensor) -> dict[NodeType, Tensor]:
        """Mention vertices ``[B, 1, I, D]``; all mentions of a block have as many images."""
        features = dict(zip(MENTION_TYPES, (mentions.text[mention].unsqueeze(1),
                                            mentions.image[_images(mentions, mention)]), strict=True))
        return {t: torch.nn.functional.linear(features[t].to(self.device, self.weight_dtype), *encoder)
                .to(self.dtype).unsqueeze(1) for t, encoder in self.encoders.items()}

    def first(self, chunk: CandidateChunk, mentions: SideTables, lists: Candidates | None, mention: Tensor,
              node_types: Sequence[NodeType]) -> ChunkState:
        """What enters the first layer of a chunk: the first weights of edges to the given entity types."""
        e, image = {}, _images(mentions, mention)                                                # [B, I]
        for edge_type in self.first_edge_types:
            src, _, dst = edge_type
            if dst not in node_types:
                continue
            slots = chunk.slots[dst]
            if lists is not None and edge_type in lists.weight:
                weight = self._given(edge_type, lists, chunk, 1 if src == MENTION_TEXT else image.size(1))
            else:
                table = mentions.weight[edge_type]
                table = table[mention].unsqueeze(1) if src == MENTION_TEXT else table[image]     # [B, I, C]
                table = table.to(self.device, self.weight_dtype).unsqueeze(1)                    # [B, 1, I, C]
                weight = slots.dot(table, self._gather('table', weight_name(edge_type), chunk.rows[dst],
                                                       self.weight_dtype))
            e[edge_type] = slots.mask(weight)
        return ChunkState(0, {}, e, {}, None)

    def _given(self, edge_type: EdgeType, lists: Candidates, chunk: CandidateChunk, num_sources: int) -> Tensor:
        slots = chunk.slots[edge_type[2]]
        if isinstance(slots, ManySlots) and not slots.owner.numel():
            return torch.empty(num_sources, 0, dtype=self.weight_dtype, device=self.device)
        if num_sources > 1 or isinstance(slots, ManySlots):
            raise ValueError(f"A given weight[{edge_type}] is one number per pair, but a mention or candidate here has "
                             f"several images; give the relation's two tables instead")
        weight = lists.weight[edge_type][chunk.pair].unsqueeze(1)                                # [B, 1, K]
        return weight[:, :num_sources].to(self.device, self.weight_dtype)

    def derive(self, depth: int, x: dict[NodeType, Tensor]) -> MentionVertices:
        """What entity vertices and edges need of mention vertices: products with matrices, best made of many rows."""
        if depth == len(self.layers):
            return MentionVertices(x, {}, {})
        layer, sent, query = self.layers[depth], {}, {}
        if depth == 0:
            wanted = [(dst, src) for src, _, dst in layer.edge_types] + [(t, t) for t in x]
            for key, t in dict.fromkeys((layer.key(to), t) for to, t in wanted if to in layer.node_types):
                sent[key, t] = x[t] @ layer.weight[key]
        if layer.dynamic:
            for edge_type in layer.out_edge_types:
                same = [e for e in query if (layer.key(e), e[0]) == (layer.key(edge_type), edge_type[0])]
                query[edge_type] = query[same[0]] if same else layer.query(edge_type, x[edge_type[0]])
        return MentionVertices(x, sent, query)

    # One layer

    def advance(self, chunk: CandidateChunk, state: ChunkState, own: MentionVertices, held: int | None,
                node_types: Sequence[NodeType]) -> ChunkState:
        """Through the next layer.

        ``own`` are the mention vertices that enter it, ``held`` the place in the block of a chunk whose vertices are
        to outlive the next chunk's, ``node_types`` the entity types whose vertices and edges are wanted.
        """
        layer, depth = self.layers[state.depth], state.depth + 1
        edges = self._edges(chunk, state, layer, own, node_types)
        new = None
        if self.context == 'pair':
            new = self.derive(depth, {t: self._pair_vertices(chunk, state, layer, own, t) for t in MENTION_TYPES
                                      if t in layer.node_types})
        x = {}
        for t in node_types:
            if t in layer.node_types:
                lasting = held is not None and depth < len(self.layers) and t in self.layers[depth].reads
                name = f'{t} {depth % 2} {held if lasting else None}'
                x[t] = self._entity_vertices(chunk, state, layer, own, t, name)
        return ChunkState(depth, x, edges, {}, new)

    def _edges(self, chunk: CandidateChunk, state: ChunkState, layer: FrozenLayer,
               own: MentionVertices, node_types: Sequence[NodeType]) -> dict[EdgeType, Tensor]:
        out = {}
        for t in node_types:
            edge_types = [edge_type for edge_type in layer.out_edge_types if edge_type[2] == t]
            if not layer.dynamic or not edge_types:
                out |= {edge_type: state.e[edge_type] for edge_type in edge_types}
                continue
            slots, query = chunk.slots[t], [own.query[edge_type] for edge_type in edge_types]
            # All relations of an entity type read its vertices once.
            value = slots.dot(torch.cat([q for q, _ in query], 2), self._vertices(chunk, state, t))
            for edge_type, (_, c), part in zip(edge_types, query, value.split([c.size(2) for _, c in query], -2),
                                               strict=True):
                out[edge_type] = slots.mask((part + slots.of_mention(c)).add_(state.e[edge_type]).sigmoid_())
        return out

    def _entity_vertices(self, chunk: CandidateChunk, state: ChunkState, layer: FrozenLayer, own: MentionVertices,
                         node_type: NodeType, name: str) -> Tensor:
        slots, key = chunk.slots[node_type], layer.key(node_type)
        x = self._vertices(chunk, state, node_type) if state.depth > 0 or layer.residual else None
        senders, weights = [], []
        for edge_type in layer.edge_types:
            src, _, dst = edge_type
            if dst == node_type:
                senders.append(own.sent[key, src] if state.depth == 0 else own.x[src])
                num_senders = senders[-1].size(2)
                weights.append(state.e[edge_type] / num_senders if num_senders > 1 else state.e[edge_type])
        if state.depth == 0:  # W_h first: W_h v comes from the index
            hidden, bias = self._hidden(chunk, state, key, node_type), layer.bias[key]
            del state.hidden[key, node_type]  # it becomes something else
        else:
            # Nothing reads a chunk's vertices after the layer they enter, unless it adds to them.
            hidden, bias = self._buffer('sum', x.shape).copy_(x) if layer.residual else x, None
        if senders:  # all relations at once
            slots.add_to_entities(hidden, torch.cat(senders, 2), torch.cat(weights, -2), bias)
        elif bias is not None:
            hidden.add_(bias)
        if state.depth > 0:
            hidden = layer.project(node_type, hidden, self._buffer('product', x.shape))
        return layer.activate(node_type, hidden, x, self._buffer(name, hidden.shape))

    def _pair_vertices(self, chunk: CandidateChunk, state: ChunkState, layer: FrozenLayer, own: MentionVertices,
                       node_type: NodeType) -> Tensor:
        """Mention vertices of every pair ``[B, K, I, D]``."""
        x, key = own.x[node_type], layer.key(node_type)
        shape = (*chunk.shape, *x.shape[2:])
        hidden = self._buffer('sum', shape).copy_(own.sent[key, node_type] + layer.bias[key] if state.depth == 0 else x)
        for edge_type in layer.edge_types:
            src, _, dst = edge_type
            if src == node_type:
                v = self._hidden(chunk, state, key, dst) if state.depth == 0 else state.x[dst]
                chunk.slots[dst].add_to_pairs(hidden, state.e[edge_type], v)
        if state.depth > 0:
            out = self._buffer('product', (hidden.numel() // self.width, self.width))
            hidden = layer.project(node_type, hidden, out)
        return layer.activate(node_type, hidden, x, self._buffer(f'{node_type} {state.depth % 2}', shape))

    def collect(self, chunk: CandidateChunk, state: ChunkState, rows: slice, sums: SentSums) -> None:
        """Adds up what the chunk's candidates send to the mention vertices they share."""
        layer = self.layers[state.depth]
        for edge_type in sums.value:
            src, _, dst = edge_type
            slots = chunk.slots[dst]
            v = self._hidden(chunk, state, layer.key(src), dst) if state.depth == 0 else state.x[dst]
            sums.value[edge_type][rows] += slots.sum_of_mention(state.e[edge_type], v)
            sums.count[edge_type][rows] += slots.count

    def share(self, depth: int, own: MentionVertices, sums: SentSums) -> dict[NodeType, Tensor]:
        """The next layer's mention vertices ``[B, 1, I, D]``, from the sums over whole lists."""
        layer, out = self.layers[depth], {}
        for t in [t for t in MENTION_TYPES if t in layer.node_types]:
            x, key = own.x[t], layer.key(t)
            hidden = own.sent[key, t] + layer.bias[key] if depth == 0 else x
            for edge_type, value in sums.value.items():
                if edge_type[0] == t:
                    mean = value / sums.count[edge_type].clamp(min=1).view(-1, 1, 1)             # [B, I, D]
                    hidden = hidden + mean.unsqueeze(1).to(self.dtype)
            out[t] = layer.activate(t, hidden if depth == 0 else layer.project(t, hidden), x)
        return out

    # What the last layer's output gives

    def score(self, chunk: CandidateChunk, state: ChunkState, own: MentionVertices) -> Tensor:
        """``[B, K]``"""
        if self.read is None:
            return self._cosine(chunk, state, own, TEXT_TEXT).squeeze(1)
        score = chunk.there.new_zeros(chunk.shape, dtype=self.weight_dtype)
        evidence = torch.zeros_like(score) if self.doubt else score  # of the mention's image
        for edge_type, (relation_scale, cosine_scale) in zip(self.edge_types, self.read, strict=True):
            weight = state.e[edge_type]
            weight = torch.logit(weight, eps=LOGIT_EPS) if self.dynamic else weight
            value = relation_scale * weight + cosine_scale * self._cosine(chunk, state, own, edge_type)
            total = evidence if edge_type[0] == MENTION_IMAGE else score
            total += chunk.slots[edge_type[2]].mean_of_pair(value)
        return score if self.doubt is None else score + doubted(evidence, *self.doubt)

    def _cosine(self, chunk: CandidateChunk, state: ChunkState, own: MentionVertices, edge_type: EdgeType) -> Tensor:
        """Of both ends of each edge, in the layout of the slots."""
        src, _, dst = edge_type
        u, v, slots = own.x[src], self._vertices(chunk, state, dst), chunk.slots[dst]
        norms = [torch.linalg.vector_norm(x, dim=-1, dtype=self.weight_dtype).clamp(min=NORM_EPS) for x in (u, v)]
        return slots.dot(u, v).div_(slots.of_mention(norms[0])).div_(slots.of_entity(norms[1]))

    # Memory

    def _vertices(self, chunk: CandidateChunk, state: ChunkState, node_type: NodeType) -> Tensor:
        """Entity vertices ``[N, D]`` that enter the next layer."""
        if node_type not in state.x:
            name = vertex_name(node_type)
            state.x[node_type] = self._gather(name, name, chunk.rows[node_type], self.dtype)
        return state.x[node_type]

    def _hidden(self, chunk: CandidateChunk, state: ChunkState, key: str, node_type: NodeType) -> Tensor:
        """W_h v of a chunk's entity vertices, ``[N, D]``, W_h of the receiver ``key``."""
        if (key, node_type) not in state.hidden:
            name = hidden_name(key, node_type)
            state.hidden[key, node_type] = self._gather(name, name, chunk.rows[node_type], self.dtype)
        return state.hidden[key, node_type]

    def _gather(self, buffer: str, name: str, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """Rows of an array of the index, in a buffer."""
        return self.index.gather(name, rows, self._buffer(buffer, (rows.numel(), self.index.widths[name]), dtype))

    @property
    def workspace_bytes(self) -> int:
        """Bytes of all buffers."""
        return sum(buffer.nbytes for buffer in self._buffers.values())

    def _buffer(self, name: str, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
        """Memory that is used again for every chunk: the first use of fresh pages takes longer than the arithmetic."""
        size, dtype = math.prod(shape), dtype or self.dtype
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < size or buffer.dtype != dtype:
            buffer = self._buffers[name] = torch.empty(size, dtype=dtype, device=self.device)
        return buffer[:size].view(shape)


def _images(mentions: SideTables, mention: Tensor) -> Tensor:
    """Image rows of mentions that have as many images each, int64 ``[B, I]``."""
    start = mentions.ptr[mention]
    return start.unsqueeze(1) + torch.arange(int(mentions.ptr[mention[0] + 1] - start[0]))
