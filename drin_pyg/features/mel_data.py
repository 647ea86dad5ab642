from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from drin_pyg.datasets import KnowledgeBase, MELDataset, Mention, draw_split
from drin_pyg.features.candidates import Candidates
from drin_pyg.features.pair_tables import PairTables
from drin_pyg.features.preset import Preset
from drin_pyg.features.side_tables import pair_tables, side_tables


@dataclass(frozen=True, eq=False)
class MELData:
    r"""A data set with its features, ready to train on.

    Args:
        tables: Features and first weights.
        candidates: Candidate lists and answers.
        split: Split name to its mentions, int64 ``[B]``; mentions without an answer are in none.
        mentions: The mentions, in the order of the tables; empty if only features are known.
        entities: The knowledge base; None if only features are known.
        preset: What made the tables, and makes those of new mentions; None if only features are
            known.
        notes: What else is to be said of the data.
    """

    tables: PairTables
    candidates: Candidates
    split: dict[str, Tensor]
    mentions: Sequence[Mention] = ()
    entities: KnowledgeBase | None = None
    preset: Preset | None = None
    notes: dict[str, str] = field(default_factory=dict)

    def tables_of(self, mentions: Sequence[Mention]) -> PairTables:
        r"""Tables of new mentions, and of the entities.

        Raises:
            ValueError: If the data came as features: nothing is known that could encode a mention.
        """
        if self.preset is None:
            raise ValueError("This data came as features alone, so new mentions cannot be encoded")
        return pair_tables(self.preset.mentions(mentions), side_tables(self.tables)[1])

    def weigh(self, tables: PairTables, candidates: Candidates, mentions: Sequence[Mention]) -> Candidates:
        r"""Candidates of new mentions, with the first weights that the preset gives per pair, if any.

        Args:
            tables: From :meth:`tables_of`.
            candidates: Candidates of the mentions, by entity row.
            mentions: The mentions.
        """
        return replace(candidates, weight=self.preset.pair_weights(tables, candidates, mentions, self.entities))


def encode(dataset: MELDataset, preset: Preset, out: Path | None = None) -> MELData:
    r"""Encodes a data set.

    Mentions of a data set without splits are divided by answer and sentence, 80/10/10 (:func:`draw_split`), which
    is noted.

    Args:
        dataset: The data set.
        preset: The encoders.
        out: Folder to write large tables to as they are made; None keeps them in memory.

    Raises:
        ValueError: If no mention has candidates; retrieve some first.
    """
    mentions, notes = dataset.mentions, {}
    if not any(mention.candidates for mention in mentions):
        raise ValueError(f"No mention of '{dataset.folder}' has candidates; retrieve some first with `drin-pyg "
                         f"retrieve`")
    if not any(mention.split for mention in mentions):
        mentions = draw_split(mentions)
        notes['split'] = 'drawn by answer and sentence, 80/10/10, seed 0: the data has none'
    entity = preset.entities(dataset.entities, out and out / 'entity_side')
    mention = preset.mentions(mentions, out and out / 'mention_side')
    tables, candidates = pair_tables(mention, entity), Candidates.from_records(mentions, dataset.entities)
    split = split_index(mentions)
    preset.learn(tables, candidates, mentions, dataset.entities, split.get('train', torch.empty(0, dtype=torch.long)))
    weight = preset.pair_weights(tables, candidates, mentions, dataset.entities)
    return MELData(tables, replace(candidates, weight=weight), split, mentions, dataset.entities, preset, notes)


def split_index(mentions: Sequence[Mention]) -> dict[str, Tensor]:
    r"""Split name to the answered mentions that belong to it, int64 ``[B]``."""
    places: dict[str, list[int]] = {}
    for i, mention in enumerate(mentions):
        if mention.split and (mention.nil or mention.answer is not None):
            places.setdefault(mention.split, []).append(i)
    order = [name for name in ('train', 'val', 'test') if name in places]
    return {name: torch.tensor(places[name], dtype=torch.long) for name in order}
