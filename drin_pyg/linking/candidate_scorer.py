import math
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.typing import EdgeType, NodeType
from tqdm import tqdm

from drin_pyg.features import Candidates
from drin_pyg.features.side_tables import SideTables
from drin_pyg.linking.candidate_chunk import Block, CandidateChunk, plan
from drin_pyg.linking.entity_index import EntityIndex, hidden_name, vertex_name, weight_name
from drin_pyg.linking.frozen_layer import FrozenLayer
from drin_pyg.linking.vertex_slots import ManySlots
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import ENTITY_TYPES, MENTION_TEXT, MENTION_TYPES, TEXT_TEXT

CACHE_NUMBERS = 2**19     # numbers of one vertex table of a chunk: 2 MB in float32, a few of which fit into a cache
NUM_CHUNKS = 16           # of a block on a CPU: products of the mentions' side want many rows
GPU_SHARE = 0.3           # of the free memory that a chunk may take
CPU_INFO = Path('/proc/cpuinfo')
LOGIT_EPS, NORM_EPS = 1e-6, 1e-12  # as DRIN's score has them


class TopK(NamedTuple):
    r"""The best candidates of each mention, best first; of equal scores, the first on the list first.

    The same call gives the same result. Scores of one entity at two places of a list may differ in
    their last bits, as matrix products of a processor's library do.

    Args:
        score: ``[M, k]``; minus infinity where a mention has fewer candidates.
        entity: Entity of each, int64 ``[M, k]``; -1 there.
        position: Place on the mention's list, int64 ``[M, k]``; -1 there.
    """

    score: Tensor
    entity: Tensor
    position: Tensor


class _Mentions(NamedTuple):
    """Mention vertices that enter a layer, and what follows from them alone."""

    x: dict[NodeType, Tensor]                         # [B, 1 or K, I, D]
    sent: dict[tuple[str, NodeType], Tensor]          # before the first layer: W_h u of (receiver's W_h, mention type)
    query: dict[EdgeType, tuple[Tensor, Tensor]]      # of the edge update, see FrozenLayer.query

    def part(self, rows: slice) -> '_Mentions':
        """Of some mentions."""
        return _Mentions({t: x[rows] for t, x in self.x.items()}, {k: x[rows] for k, x in self.sent.items()},
                         {e: (q[rows], c[rows]) for e, (q, c) in self.query.items()})


class _State(NamedTuple):
    """What a chunk brings into a layer."""

    depth: int
    x: dict[NodeType, Tensor]                         # entity vertices [N, D]; gathered as needed before the first
    e: dict[EdgeType, Tensor]                         # in the layout of the slots of the relation's entity type
    hidden: dict[tuple[str, NodeType], Tensor]        # before the first: W_h v of (receiver's W_h, entity type)
    own: _Mentions | None                             # mention vertices, once every pair has its own


class CandidateScorer:
    r"""Scores mentions against candidates of an :class:`EntityIndex`, exactly as :meth:`DRIN.forward` does.

    What :class:`~drin_pyg.nn.DRIN` computes of an entity alone is read from the index: its vertices,
    their products with the first layer's :math:`\mathbf{W}_h`, and the tables of its first weights.
    With two layers, the published score and the edge update as a bilinear form, one
    ``[P, D] x [D, D]`` product a pair is left in mention context and two in pair context; the rest
    is a few dozen :math:`D` a pair. Pairs are computed in chunks that stay in the cache (CPU) or
    fill a share of the memory (GPU), so memory depends neither on the number of candidates nor of
    mentions.

    In mention context the mention vertices of a layer average over the *whole* list, so lists are
    read more than once: each reading adds up over all chunks what two layers' candidates send, only
    then are the mention vertices of these layers known, and the last reading gives the scores. That
    is the same sum in another order, so chunking stays exact. Entity vertices are kept from one
    reading to the next where the lists are short; where they are not, they are computed again (with
    two layers: without any product, as those of the first layer come from the index).

    Sums run in another order than in ``forward``: equal within 1e-5 in float32 and 1e-12 in float64.

    Args:
        model: A trained model with scalar edges.
        index: Entities, built with this model.
        context: Whose mention vertices, ``"pair"`` or ``"mention"``; see
            :func:`~drin_pyg.graph.candidate_batch`.
        dtype: What vertices are computed in; by default that of the index, but float32 for a half
            precision index on a processor without such arithmetic. Edge weights and scores are
            float32 at least.
        chunk_size: Pairs computed at once; by default from the cache or the free memory.
        device: Where to compute; by default where the index is.

    Raises:
        ValueError: If the index belongs to another model, or the model has vector edges.
    """

    def __init__(
        self,
        model: DRIN,
        index: EntityIndex,
        *,
        context: str = 'pair',
        dtype: torch.dtype | None = None,
        chunk_size: int | None = None,
        device: torch.device | str | None = None,
    ):
        if context not in ('pair', 'mention'):
            raise ValueError(f"'context' must be 'pair' or 'mention', got {context!r}")
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"'chunk_size' must be at least 1, got {chunk_size}")
        index.check_model(model)
        self.index = index
        self.context = context
        self.device = torch.device(index.device if device is None else device)
        self.dtype = _compute_dtype(index.dtype, self.device) if dtype is None else dtype
        self.weight_dtype = torch.promote_types(self.dtype, torch.float32)
        self.width = model.hidden_channels
        self.chunk_size = chunk_size or self._default_chunk_size()
        self.num_chunks = 1 if self.device.type == 'cuda' else NUM_CHUNKS
        self.dynamic = model.dynamic and model.num_layers > 0
        self.edge_types = model.edge_types
        self.encoders = {t: (lin.weight.detach().to(self.device, self.weight_dtype),
                             lin.bias.detach().to(self.device, self.weight_dtype))
                         for t, lin in model.encoders.items() if t in MENTION_TYPES}
        self.layers = [FrozenLayer(conv, self.dtype, self.device) for conv in model.convs]
        self.read = None
        if model.read_relations:
            self.read = list(zip(model.relation_scale.tolist(), model.cosine_scale.tolist(), strict=True))
        self.first_edge_types = self.layers[0].edge_types if self.layers else (self.edge_types if self.read else [])
        self._buffers: dict[str, Tensor] = {}
        self._lock = threading.Lock()  # the buffers serve one call at a time

    def __call__(
        self,
        mentions: SideTables,
        candidates: Candidates | None = None,
        k: int | None = None,
        progress: bool = False,
    ) -> Tensor | TopK:
        r"""Scores.

        Args:
            mentions: Features of ``M`` mentions.
            candidates: The list of each mention, entities of the index; None compares every mention
                with every entity of the index that was not removed.
            k: Keep only the best of each mention, which needs no memory for the others.
            progress: Whether to show a progress bar.

        Returns:
            Scores ``[P]`` in the order of the lists, or a :class:`TopK`; on the CPU.

        Raises:
            ValueError: If the lists and the features do not fit together, or a candidate was removed.
            IndexError: If there is no such entity.
        """
        num_mentions = mentions.text.size(0)
        if candidates is not None and candidates.num_mentions != num_mentions:
            raise ValueError(f"There are {num_mentions} mentions, but candidate lists of {candidates.num_mentions}")
        if k is not None and k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        everyone = self.index.everything.numel()
        counts = np.full(num_mentions, everyone) if candidates is None else candidates.counts.numpy()
        num_images = (mentions.ptr[1:] - mentions.ptr[:-1]).numpy()
        if k is None:
            out = torch.empty(int(counts.sum()), dtype=self.weight_dtype)
            first = torch.arange(num_mentions) * everyone  # of each mention's scores, if its list is everyone
        else:
            best = TopK(torch.full((num_mentions, k), -torch.inf, dtype=self.weight_dtype),
                        *(torch.full((num_mentions, k), -1) for _ in range(2)))
        with self._lock, torch.inference_mode(), torch.autocast(self.device.type, enabled=False), \
                tqdm(total=int(counts.sum()), desc='Scoring pairs', disable=not progress, leave=False) as bar:
            for block in plan(counts, num_images, self.chunk_size, self.num_chunks):
                for rows, start, chunk, score in self._score_block(block, mentions, candidates):
                    own = block.mention[rows]
                    if k is None:
                        there = chunk.there.cpu()
                        place = chunk.pair if candidates is not None else chunk.pair + first[own].unsqueeze(1)
                        out[place[there]] = score.cpu()[there]
                    else:
                        kept = TopK(*(x[own] for x in best))
                        score = score.masked_fill(~chunk.there, -torch.inf)
                        for whole, part in zip(best, _merge(kept, score, chunk.entity, start, k), strict=True):
                            whole[own] = part
                    bar.update(int(chunk.there.sum()))
        return out if k is None else best

    def _score_block(self, block: Block, mentions: SideTables, lists: Candidates | None) \
            -> Iterator[tuple[slice, int, CandidateChunk, Tensor]]:
        """Of each chunk, which of the block's mentions, first place on their lists, the chunk, and scores ``[B, K]``."""
        shared = [self._derive(0, self._encode(mentions, block.mention))]  # mention vertices of each depth
        chunks = block.chunks
        held: dict[int, tuple[CandidateChunk, _State]] = {}
        hold = self.context == 'mention' and len(chunks) <= 2 * self.num_chunks  # a long list is computed again

        def reach(i: int, depth: int, last: bool = False) -> tuple[CandidateChunk, _State]:
            rows, start, stop = chunks[i]
            if i in held:
                chunk, state = held[i]
            else:
                chunk = CandidateChunk(self.index, lists, block.mention[rows], start, stop, self.device)
                state = self._first(chunk, mentions, lists, block.mention[rows])
            while state.depth < depth:
                own = state.own or shared[state.depth].part(rows)
                state = self._advance(chunk, state, own, i if hold and not last else None)
            if hold:
                held[i] = chunk, state
            return chunk, state

        # Entity vertices of layer l + 1 follow from the mention vertices of layer l, so one reading of the lists adds
        # up what two layers send to the mention.
        for depth in range(0, len(self.layers), 2) if self.context == 'mention' else ():
            depths = [d for d in (depth, depth + 1) if d < len(self.layers)]
            sums = {d: _Sums(self.layers[d], shared[0].x, self.weight_dtype) for d in depths}
            for i, (rows, _, _) in enumerate(chunks):
                for d in depths:
                    chunk, state = reach(i, d)
                    self._collect(chunk, state, rows, sums[d])
                if hold:  # what the index gave is gathered again: to keep it would take as long
                    held[i] = chunk, state._replace(x=state.x if state.depth else {}, hidden={})
            for d in depths:
                shared.append(self._derive(d + 1, self._share(d, shared[d], sums[d])))
        for i, (rows, start, _) in enumerate(chunks):
            chunk, state = reach(i, len(self.layers), last=True)
            yield rows, start, chunk, self._score(chunk, state, state.own or shared[-1].part(rows))
            held.pop(i, None)

    # What enters the first layer

    def _encode(self, mentions: SideTables, mention: Tensor) -> dict[NodeType, Tensor]:
        """Mention vertices ``[B, 1, I, D]``; all mentions of a block have as many images."""
        features = dict(zip(MENTION_TYPES, (mentions.text[mention].unsqueeze(1),
                                            mentions.image[_images(mentions, mention)]), strict=True))
        return {t: torch.nn.functional.linear(features[t].to(self.device, self.weight_dtype), *encoder)
                .to(self.dtype).unsqueeze(1) for t, encoder in self.encoders.items()}

    def _first(self, chunk: CandidateChunk, mentions: SideTables, lists: Candidates | None, mention: Tensor) -> _State:
        e, image = {}, _images(mentions, mention)                                                # [B, I]
        for edge_type in self.first_edge_types:
            src, _, dst = edge_type
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
        return _State(0, {}, e, {}, None)

    def _given(self, edge_type: EdgeType, lists: Candidates, chunk: CandidateChunk, num_sources: int) -> Tensor:
        slots = chunk.slots[edge_type[2]]
        if isinstance(slots, ManySlots) and not slots.owner.numel():
            return torch.empty(num_sources, 0, dtype=self.weight_dtype, device=self.device)
        if num_sources > 1 or isinstance(slots, ManySlots):
            raise ValueError(f"A given weight[{edge_type}] is one number per pair, but a mention or candidate here has "
                             f"several images; give the relation's two tables instead")
        weight = lists.weight[edge_type][chunk.pair].unsqueeze(1)                                # [B, 1, K]
        return weight[:, :num_sources].to(self.device, self.weight_dtype)

    def _derive(self, depth: int, x: dict[NodeType, Tensor]) -> _Mentions:
        """What entity vertices and edges need of mention vertices: products with matrices, best made of many rows."""
        if depth == len(self.layers):
            return _Mentions(x, {}, {})
        layer, sent, query = self.layers[depth], {}, {}
        if depth == 0:
            wanted = [(dst, src) for src, _, dst in layer.edge_types] + [(t, t) for t in x]
            for key, t in dict.fromkeys((layer.key(to), t) for to, t in wanted if to in layer.node_types):
                sent[key, t] = x[t] @ layer.weight[key]
        if layer.dynamic:
            rules = {(layer.key(e), e[0]): layer.query(e, x[e[0]]) for e in
                     {(layer.key(e), e[0]): e for e in layer.out_edge_types}.values()}
            query = {e: rules[layer.key(e), e[0]] for e in layer.out_edge_types}
        return _Mentions(x, sent, query)

    # One layer

    def _advance(self, chunk: CandidateChunk, state: _State, own: _Mentions, held: int | None) -> _State:
        """Through the next layer.

        ``own`` are the mention vertices that enter it, ``held`` the place in the block of a chunk whose vertices are
        to outlive the next chunk's.
        """
        layer, depth = self.layers[state.depth], state.depth + 1
        edges = self._edges(chunk, state, layer, own)
        new = None
        if self.context == 'pair':
            new = self._derive(depth, {t: self._pair_vertices(chunk, state, layer, own, t) for t in MENTION_TYPES
                                       if t in layer.node_types})
        x = {}
        for t in ENTITY_TYPES:
            if t in layer.node_types:
                lasting = held is not None and depth < len(self.layers) and t in self.layers[depth].reads
                name = f'{t} {depth % 2} {held if lasting else None}'
                x[t] = self._entity_vertices(chunk, state, layer, own, t, name)
        return _State(depth, x, edges, {}, new)

    def _edges(self, chunk: CandidateChunk, state: _State, layer: FrozenLayer, own: _Mentions) -> dict[EdgeType, Tensor]:
        if not layer.dynamic:
            return {edge_type: state.e[edge_type] for edge_type in layer.out_edge_types}
        out = {}
        for t in ENTITY_TYPES:
            edge_types = [edge_type for edge_type in layer.out_edge_types if edge_type[2] == t]
            if not edge_types:
                continue
            slots, query = chunk.slots[t], [own.query[edge_type] for edge_type in edge_types]
            # All relations of an entity type read its vertices once.
            value = slots.dot(torch.cat([q for q, _ in query], 2), self._vertices(chunk, state, t))
            for edge_type, (_, c), part in zip(edge_types, query, value.split([c.size(2) for _, c in query], -2),
                                               strict=True):
                out[edge_type] = slots.mask((part + slots.of_mention(c)).add_(state.e[edge_type]).sigmoid_())
        return out

    def _entity_vertices(self, chunk: CandidateChunk, state: _State, layer: FrozenLayer, own: _Mentions,
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
            hidden, bias = self._buffer('sum', x.shape).copy_(x), None
        if senders:  # all relations at once
            slots.add_to_entities(hidden, torch.cat(senders, 2), torch.cat(weights, -2), bias)
        elif bias is not None:
            hidden.add_(bias)
        if state.depth > 0:
            hidden = layer.project(node_type, hidden, self._buffer('product', x.shape))
        return layer.activate(node_type, hidden, x, self._buffer(name, hidden.shape))

    def _pair_vertices(self, chunk: CandidateChunk, state: _State, layer: FrozenLayer, own: _Mentions,
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

    def _collect(self, chunk: CandidateChunk, state: _State, rows: slice, sums: '_Sums') -> None:
        """Adds up what the chunk's candidates send to the mention vertices they share."""
        layer = self.layers[state.depth]
        for edge_type in sums.value:
            src, _, dst = edge_type
            slots = chunk.slots[dst]
            v = self._hidden(chunk, state, layer.key(src), dst) if state.depth == 0 else state.x[dst]
            sums.value[edge_type][rows] += slots.sum_of_mention(state.e[edge_type], v)
            sums.count[edge_type][rows] += slots.count

    def _share(self, depth: int, own: _Mentions, sums: '_Sums') -> dict[NodeType, Tensor]:
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

    def _score(self, chunk: CandidateChunk, state: _State, own: _Mentions) -> Tensor:
        """``[B, K]``"""
        if self.read is None:
            return self._cosine(chunk, state, own, TEXT_TEXT).squeeze(1)
        score = chunk.there.new_zeros(chunk.shape, dtype=self.weight_dtype)
        for edge_type, (relation_scale, cosine_scale) in zip(self.edge_types, self.read, strict=True):
            weight = state.e[edge_type]
            weight = torch.logit(weight, eps=LOGIT_EPS) if self.dynamic else weight
            value = relation_scale * weight + cosine_scale * self._cosine(chunk, state, own, edge_type)
            score += chunk.slots[edge_type[2]].mean_of_pair(value)
        return score

    def _cosine(self, chunk: CandidateChunk, state: _State, own: _Mentions, edge_type: EdgeType) -> Tensor:
        """Of both ends of each edge, in the layout of the slots."""
        src, _, dst = edge_type
        u, v, slots = own.x[src], self._vertices(chunk, state, dst), chunk.slots[dst]
        norms = [torch.linalg.vector_norm(x, dim=-1, dtype=self.weight_dtype).clamp(min=NORM_EPS) for x in (u, v)]
        return slots.dot(u, v).div_(slots.of_mention(norms[0])).div_(slots.of_entity(norms[1]))

    # Memory

    def _vertices(self, chunk: CandidateChunk, state: _State, node_type: NodeType) -> Tensor:
        """Entity vertices ``[N, D]`` that enter the next layer."""
        if node_type not in state.x:
            name = vertex_name(node_type)
            state.x[node_type] = self._gather(name, name, chunk.rows[node_type], self.dtype)
        return state.x[node_type]

    def _hidden(self, chunk: CandidateChunk, state: _State, key: str, node_type: NodeType) -> Tensor:
        """W_h v of a chunk's entity vertices, ``[N, D]``, W_h of the receiver ``key``."""
        if (key, node_type) not in state.hidden:
            name = hidden_name(key, node_type)
            state.hidden[key, node_type] = self._gather(name, name, chunk.rows[node_type], self.dtype)
        return state.hidden[key, node_type]

    def _gather(self, buffer: str, name: str, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """Rows of an array of the index, in a buffer."""
        return self.index.gather(name, rows, self._buffer(buffer, (rows.numel(), self.index.widths[name]), dtype))

    def _buffer(self, name: str, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
        """Memory that is used again for every chunk: the first use of fresh pages takes longer than the arithmetic."""
        size, dtype = math.prod(shape), dtype or self.dtype
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < size or buffer.dtype != dtype:
            buffer = self._buffers[name] = torch.empty(size, dtype=dtype, device=self.device)
        return buffer[:size].view(shape)

    def _default_chunk_size(self) -> int:
        if self.device.type == 'cuda':
            free, _ = torch.cuda.mem_get_info(self.device)
            row = max(self.width * self.dtype.itemsize, *(4 * width for width in self.index.widths.values()))
            return max(1024, int(GPU_SHARE * free / (16 * row)))
        return max(64, CACHE_NUMBERS // self.width)


class _Sums:
    """What whole lists send to the mention vertices of a layer: sums ``[B, I, D]`` and numbers ``[B]`` by relation."""

    def __init__(self, layer: FrozenLayer, x: dict[NodeType, Tensor], dtype: torch.dtype):
        edge_types = [e for e in layer.edge_types if e[0] in layer.node_types]
        self.value = {e: torch.zeros_like(x[e[0]].squeeze(1), dtype=dtype) for e in edge_types}
        self.count = {e: torch.zeros(len(x[e[0]]), dtype=torch.long, device=x[e[0]].device) for e in edge_types}


def _images(mentions: SideTables, mention: Tensor) -> Tensor:
    """Image rows of mentions that have as many images each, int64 ``[B, I]``."""
    start = mentions.ptr[mention]
    return start.unsqueeze(1) + torch.arange(int(mentions.ptr[mention[0] + 1] - start[0]))


def _compute_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    native = device.type != 'cpu' or dtype not in (torch.float16, torch.bfloat16) or _has_native(dtype)
    return dtype if native else torch.float32


def _has_native(dtype: torch.dtype) -> bool:
    """Whether the processor multiplies matrices of this dtype faster than float32 ones."""
    flags = set(re.findall(r'\S+', CPU_INFO.read_text())) if CPU_INFO.is_file() else set()
    return ('avx512_bf16' in flags or 'amx_bf16' in flags) if dtype == torch.bfloat16 else 'amx_fp16' in flags


def _merge(kept: TopK | None, score: Tensor, entity: Tensor, start: int, k: int) -> TopK:
    """The best of those kept so far and of a chunk's ``[B, K]`` scores, whose candidates come later on the lists."""
    position = torch.arange(start, start + score.size(1)).expand(score.shape)
    new = TopK(score.cpu(), entity, position)
    both = new if kept is None else TopK(*(torch.cat(pair, 1) for pair in zip(kept, new, strict=True)))
    score, order = both.score.sort(dim=1, descending=True, stable=True)  # stable: equal ones stay in the order of the list
    score, order = score[:, :k], order[:, :k]
    return TopK(score, *(x.gather(1, order).masked_fill(score == -torch.inf, -1) for x in both[1:]))


def score_candidates(
    model: DRIN,
    index: EntityIndex,
    mentions: SideTables,
    candidates: Candidates | None = None,
    k: int | None = None,
    *,
    context: str = 'pair',
    dtype: torch.dtype | None = None,
    chunk_size: int | None = None,
    progress: bool = False,
) -> Tensor | TopK:
    r"""Scores mentions against candidates; to score again with the same model, keep a :class:`CandidateScorer`.

    Args:
        model: As for :class:`CandidateScorer`, as are ``index``, ``context``, ``dtype`` and ``chunk_size``.
        mentions: As for :meth:`CandidateScorer.__call__`, as are ``candidates``, ``k`` and ``progress``.
    """
    scorer = CandidateScorer(model, index, context=context, dtype=dtype, chunk_size=chunk_size)
    return scorer(mentions, candidates, k, progress)
