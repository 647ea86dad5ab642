from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from drin_pyg.datasets import EmojiMEL, Entity, Mention
from drin_pyg.features import Candidates, OfflineFeatures, PairTables

EMOJI = 'emoji'


@dataclass(frozen=True, eq=False)
class MELData:
    r"""A data set with its features, ready to train on.

    Args:
        tables: Features and first weights.
        candidates: Candidate lists and answers.
        split: Split name to its mentions, int64 ``[B]``.
        mentions: The mentions, in the order of the tables.
        entities: The knowledge base.
        features: What made the tables; makes those of new mentions too.
    """

    tables: PairTables
    candidates: Candidates
    split: dict[str, Tensor]
    mentions: Sequence[Mention]
    entities: Sequence[Entity]
    features: OfflineFeatures


def load_data(source: str = EMOJI, progress: bool = False) -> MELData:
    r"""Reads a data set and computes (or finds in the cache) its features.

    Args:
        source: ``"emoji"`` for the packaged :class:`~drin_pyg.datasets.EmojiMEL`, or a folder with
            its five files.
        progress: Whether to show progress bars.

    Raises:
        FileNotFoundError: Naming the file that is missing.
    """
    dataset = EmojiMEL() if source == EMOJI else EmojiMEL(source)
    features = OfflineFeatures(dataset.entities, progress)
    split = {
        name: torch.tensor([i for i, mention in enumerate(dataset.mentions) if mention.split == name])
        for name in dataset.splits
    }
    return MELData(features.tables(dataset.mentions), features.candidates(dataset.mentions), split, dataset.mentions,
                   dataset.entities, features)
