import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.utils import to_dense_batch

from drin_pyg.features import Sequences


class AddSequences:
    r"""Adds tokens and image regions of the mentions to a batch: a ``transform`` for its loader.

    For the ``B`` distinct mentions of the batch's pairs, in ascending order, the batch gets ``tokens`` ``[B, T, F]``,
    ``token_mask`` (which of them are no padding) and ``token_marked`` (which are the mention's own words), both bool
    ``[B, T]``, ``regions`` ``[B, R, G]`` and ``region_mask`` bool ``[B, R]``. A mention without images has no region;
    if nobody in the batch has one, ``R`` is 0.

    .. code-block:: python

        tokens, regions = data.preset.sequences(data.mentions)
        module = CandidateDataModule(data.tables, data.candidates, data.split,
                                     transform=AddSequences(tokens, regions))

    Args:
        tokens: Tokens of all mentions of the tables.
        regions: Regions of all pictures of each mention.

    Raises:
        ValueError: If the two are of different numbers of mentions, or tokens do not say which are marked.
    """

    def __init__(self, tokens: Sequences, regions: Sequences):
        if tokens.num_owners != regions.num_owners:
            raise ValueError(f"There are tokens of {tokens.num_owners} mentions, but regions of {regions.num_owners}; "
                             f"take both from one call of Preset.sequences")
        if tokens.marked is None:
            raise ValueError("The tokens do not say which are the mention's own words; give Sequences with 'marked'")
        self.tokens = tokens
        self.regions = regions

    def __call__(self, batch: HeteroData) -> HeteroData:
        r"""The batch itself, with the sequences.

        Raises:
            IndexError: If the batch holds a mention that the sequences do not.
        """
        mention = torch.unique(batch.mention)  # [B]
        if mention.numel() and int(mention[-1]) >= self.tokens.num_owners:
            raise IndexError(f"The batch holds mention {int(mention[-1])}, but there are sequences of "
                             f"{self.tokens.num_owners} mentions; make them of the same mentions as the tables")
        batch.tokens, batch.token_mask, batch.token_marked = padded(self.tokens.select(mention))
        batch.regions, batch.region_mask, _ = padded(self.regions.select(mention))
        return batch


def padded(sequences: Sequences) -> tuple[Tensor, Tensor, Tensor | None]:
    r"""Sequences as float32 ``[M, T, F]``, padded with zeros; which rows are no padding, and which are marked."""
    counts = sequences.counts
    owner = torch.repeat_interleave(counts)
    longest = int(counts.max()) if counts.numel() else 0
    x, mask = to_dense_batch(sequences.x.float(), owner, max_num_nodes=longest, batch_size=counts.numel())
    if sequences.marked is None:
        return x, mask, None
    marked, _ = to_dense_batch(sequences.marked, owner, max_num_nodes=longest, batch_size=counts.numel())
    return x, mask, marked


def need_sequences(model: torch.nn.Module, batch: HeteroData) -> None:
    r"""Raises ValueError unless the batch holds what :class:`AddSequences` adds."""
    if 'tokens' not in batch or 'regions' not in batch:
        raise ValueError(f"{type(model).__name__} reads tokens and regions, which this batch lacks; load batches with "
                         f"transform=AddSequences(*preset.sequences(mentions)) of drin_pyg.baselines")
