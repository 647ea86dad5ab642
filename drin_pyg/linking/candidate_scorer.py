import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from drin_pyg.features import Candidates
from drin_pyg.features.side_tables import SideTables
from drin_pyg.linking.candidate_chunk import Block, CandidateChunk, plan
from drin_pyg.linking.chunk_model import ChunkModel, ChunkState, SentSums
from drin_pyg.linking.entity_index import EntityIndex
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import ENTITY_TYPES

CACHE_NUMBERS = 2**20     # numbers of one vertex table of a chunk: 4 MB in float32, a few of which fit into a cache
NUM_CHUNKS = 8            # of a block on a CPU: products of the mentions' side want many rows
GPU_SHARE = 0.3           # of the free memory that a chunk may take
NUM_TABLES = 16           # that a chunk has in memory at once, at most
CPU_INFO = Path('/proc/cpuinfo')


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
        device = torch.device(index.device if device is None else device)
        self.index = index
        self.context = context
        self.model = ChunkModel(model, index, context, dtype or _compute_dtype(index.dtype, device), device)
        self.chunk_size = chunk_size or _default_chunk_size(self.model)
        self.num_chunks = 1 if device.type == 'cuda' else NUM_CHUNKS
        self._lock = threading.Lock()  # the buffers serve one call at a time

    @property
    def workspace_bytes(self) -> int:
        """Memory kept between calls, to be used again; it follows the size of a chunk, not the number of candidates."""
        return self.model.workspace_bytes

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
        self.model.check(mentions, candidates)
        everyone = self.index.everything.numel()
        counts = np.full(num_mentions, everyone) if candidates is None else candidates.counts.numpy()
        num_images = (mentions.ptr[1:] - mentions.ptr[:-1]).numpy()
        if k is None:
            out = torch.empty(int(counts.sum()), dtype=self.model.weight_dtype)
            first = torch.arange(num_mentions) * everyone  # of each mention's scores, if its list is everyone
        else:
            best = _nothing(num_mentions, k, self.model.weight_dtype)
        with self._lock, torch.inference_mode(), torch.autocast(self.model.device.type, enabled=False), \
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
        """Of each chunk: which of the block's mentions, first place on their lists, the chunk, scores ``[B, K]``."""
        shared = [self.model.derive(0, self.model.encode(mentions, block.mention))]  # mention vertices of each depth
        chunks = block.chunks
        held: dict[int, tuple[CandidateChunk, ChunkState]] = {}
        hold = self.context == 'mention' and len(chunks) <= 2 * self.num_chunks  # a long list is computed again

        def reach(i: int, depth: int, last: bool = False) -> tuple[CandidateChunk, ChunkState]:
            rows, start, stop = chunks[i]
            node_types = self.model.score_types if last and self.context == 'mention' else ENTITY_TYPES
            if i in held:
                chunk, state = held[i]
            else:
                chunk = CandidateChunk(self.index, lists, block.mention[rows], start, stop, self.model.device)
                state = self.model.first(chunk, mentions, lists, block.mention[rows], node_types)
            while state.depth < depth:
                own = state.own or shared[state.depth].part(rows)
                state = self.model.advance(chunk, state, own, i if hold and not last else None, node_types)
            if hold:
                held[i] = chunk, state
            return chunk, state

        # Entity vertices of layer l + 1 follow from the mention vertices of layer l, so one reading of the lists adds
        # up what two layers send to the mention.
        for depth in range(0, len(self.model.layers), 2) if self.context == 'mention' else ():
            depths = [d for d in (depth, depth + 1) if d < len(self.model.layers)]
            sums = {d: SentSums(self.model.layers[d], shared[0].x, self.model.weight_dtype) for d in depths}
            for i, (rows, _, _) in enumerate(chunks):
                for d in depths:
                    chunk, state = reach(i, d)
                    self.model.collect(chunk, state, rows, sums[d])
                if hold:  # what the index gave is gathered again: to keep it would take as long
                    held[i] = chunk, state._replace(x=state.x if state.depth else {}, hidden={})
            for d in depths:
                shared.append(self.model.derive(d + 1, self.model.share(d, shared[d], sums[d])))
        for i, (rows, start, _) in enumerate(chunks):
            chunk, state = reach(i, len(self.model.layers), last=True)
            yield rows, start, chunk, self.model.score(chunk, state, state.own or shared[-1].part(rows))
            held.pop(i, None)


def _default_chunk_size(model: ChunkModel) -> int:
    if model.device.type == 'cuda':
        free, _ = torch.cuda.mem_get_info(model.device)
        row = max(model.width * model.dtype.itemsize, *(4 * width for width in model.index.widths.values()))
        return max(1024, int(GPU_SHARE * free / (NUM_TABLES * row)))
    return max(64, CACHE_NUMBERS // model.width)


def _compute_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    native = device.type != 'cpu' or dtype not in (torch.float16, torch.bfloat16) or _has_native(dtype)
    return dtype if native else torch.float32


def _has_native(dtype: torch.dtype) -> bool:
    """Whether the processor multiplies matrices of this dtype faster than float32 ones."""
    flags = set(re.findall(r'\S+', CPU_INFO.read_text())) if CPU_INFO.is_file() else set()
    return ('avx512_bf16' in flags or 'amx_bf16' in flags) if dtype == torch.bfloat16 else 'amx_fp16' in flags


def _nothing(num_mentions: int, k: int, dtype: torch.dtype) -> TopK:
    none = torch.full((num_mentions, k), -1)
    return TopK(torch.full((num_mentions, k), -torch.inf, dtype=dtype), none, none.clone())


def _merge(kept: TopK, score: Tensor, entity: Tensor, start: int, k: int) -> TopK:
    """The best of those kept so far and of a chunk's ``[B, K]`` scores, whose candidates come later on the lists."""
    position = torch.arange(start, start + score.size(1)).expand(score.shape)
    both = TopK(*(torch.cat(pair, 1) for pair in zip(kept, (score.cpu(), entity, position), strict=True)))
    # Stable: equal ones stay in the order of the list.
    score, order = both.score.sort(dim=1, descending=True, stable=True)
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

    Returns:
        Scores ``[P]`` in the order of the lists, or a :class:`TopK` of ``[M, k]``.
    """
    scorer = CandidateScorer(model, index, context=context, dtype=dtype, chunk_size=chunk_size)
    return scorer(mentions, candidates, k, progress)
