from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torch_geometric.data import HeteroData

from drin_pyg.features.candidates import Candidates
from drin_pyg.features.pair_tables import PairTables
from drin_pyg.graph.candidate_batch import Context, candidate_batch

Transform = Callable[[HeteroData], HeteroData]
WHOLE = (0, 1)  # the share of who works alone


class PairBudgetSampler(Sampler[list[int]]):
    r"""Batches of mentions whose candidates add up to a budget of pairs.

    Memory and time follow pairs, not mentions. A batch takes mentions while their pairs fit; a
    mention with more pairs than the budget is a batch of its own.

    Args:
        counts: Number of candidates of each mention, int64 ``[M]``.
        max_pairs: The budget.
        shuffle: Whether to draw a new order every epoch, a function of ``seed`` and the epoch
            only, so that a resumed run sees the batches the interrupted one would have seen.
        seed: Seed of the order.
        share: ``(i, n)`` for the ``i``-th of ``n`` processes that work on the same batches: of each batch, it gets
            mention ``i`` and every ``n``-th after it. All have as many batches, so some may be empty.

    Raises:
        ValueError: If ``max_pairs`` is not positive, or there is no such share.
    """

    def __init__(self, counts: Tensor, max_pairs: int, shuffle: bool = False, seed: int = 0,
                 share: tuple[int, int] = WHOLE):
        if max_pairs < 1:
            raise ValueError(f"'max_pairs' must be at least 1, got {max_pairs}")
        if not 0 <= share[0] < share[1]:
            raise ValueError(f"'share' must be (i, n) with 0 <= i < n, got {share}")
        self.counts = counts
        self.max_pairs = max_pairs
        self.shuffle = shuffle
        self.seed = seed
        self.share = share
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, which decides the order when shuffling."""
        self.epoch = epoch

    def _batches(self) -> list[Tensor]:
        order = torch.arange(self.counts.numel())
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(self.counts.numel(), generator=generator)
        total = self.counts[order].cumsum(0)  # [M]
        batches, start, used = [], 0, 0
        while start < order.numel():  # one step per batch, never per mention or pair
            end = int(torch.searchsorted(total, used + self.max_pairs, right=True))
            end = max(end, start + 1)
            batches.append(order[start:end][self.share[0]::self.share[1]])
            start, used = end, int(total[end - 1])
        return batches

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._batches():
            yield batch.tolist()

    def __len__(self) -> int:
        return len(self._batches())


class _BatchDataset(Dataset):
    """Builds a whole batch per call, through the batched fetch of ``torch.utils.data``."""

    def __init__(self, tables: PairTables, candidates: Candidates, mention: Tensor, context: Context, compact: bool,
                 transform: Transform | None):
        self.tables = tables
        self.candidates = candidates
        self.mention = mention
        self.context = context
        self.compact = compact
        self.transform = transform

    def __len__(self) -> int:
        return self.mention.numel()

    def __getitems__(self, positions: list[int]) -> HeteroData:
        mention = self.mention[torch.tensor(positions, dtype=torch.long)]
        batch = candidate_batch(self.tables, self.candidates, mention, context=self.context, compact=self.compact)
        return batch if self.transform is None else self.transform(batch)


class CandidateLoader(DataLoader):
    r"""Loads batches of pair graphs, each of at most ``max_pairs`` pairs, with no loop over pairs.

    Args:
        tables: Features and first weights of all mentions and entities.
        candidates: Candidate lists of all mentions.
        mention: Mentions to load, int64 ``[B]`` (default: all).
        max_pairs: Budget of pairs per batch; see :class:`PairBudgetSampler`.
        context: ``"pair"`` or ``"mention"``; see :func:`candidate_batch`.
        compact: Whether to store each distinct row once; see :func:`candidate_batch`.
        shuffle: Whether to shuffle the mentions.
        seed: Seed of the shuffling.
        share: Which part of every batch; see :class:`PairBudgetSampler`.
        transform: Applied to every batch; what it needs of the tables it finds by the batch's ``mention`` and
            ``entity`` rows.
        **kwargs: Further arguments of :class:`torch.utils.data.DataLoader`, such as
            ``num_workers`` or ``pin_memory``.
    """

    def __init__(
        self,
        tables: PairTables,
        candidates: Candidates,
        mention: Tensor | None = None,
        *,
        max_pairs: int = 2048,
        context: Context = 'pair',
        compact: bool = True,
        shuffle: bool = False,
        seed: int = 0,
        share: tuple[int, int] = WHOLE,
        transform: Transform | None = None,
        **kwargs,
    ):
        if mention is None:
            mention = torch.arange(candidates.num_mentions)
        sampler = PairBudgetSampler(candidates.counts[mention], max_pairs, shuffle, seed, share)
        dataset = _BatchDataset(tables, candidates, mention, context, compact, transform)
        super().__init__(dataset, batch_sampler=sampler, collate_fn=_identity, **kwargs)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, which decides the order when shuffling."""
        self.batch_sampler.set_epoch(epoch)


def _identity(batch: HeteroData) -> HeteroData:
    return batch
