from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from torch_geometric.data import Dataset

from drin_pyg.datasets.findings import Findings
from drin_pyg.datasets.knowledge_base import KnowledgeBase
from drin_pyg.datasets.records import Mention, find_span, plain


class MELDataset(Dataset):
    r"""A data set for multimodal entity linking: what every reader of this package gives.

    ``dataset[i]`` is a :class:`Mention`; ``dataset.entities`` is the knowledge base and
    ``dataset.findings`` says what the files hold that could not be used as it stands.

    A reader yields its raw records; here they are checked against the knowledge base: candidates
    that are not in it, or named twice, are left out, and each mention is looked up in its sentence
    (:func:`find_span`; one that does not occur keeps ``span=None``). Everything is counted.

    Args:
        root: The folder.
        split: ``"train"``, ``"val"``, ``"test"``, or None for all mentions. Entities are the whole
            knowledge base in any split.
        transform: Applied to a mention on every access.
        pre_transform: Applied to each mention once, when it is read.
        force_reload: Accepted for PyG's sake; nothing is cached, so every instance reads anew.

    Raises:
        FileNotFoundError: Naming the first missing file.
        ValueError: If ``split`` is unknown or has no mentions, or a file is not in the format (naming file and place).
    """

    splits = ('train', 'val', 'test')

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
    ):
        if split is not None and split not in self.splits:
            raise ValueError(f"{type(self).__name__} has the splits {', '.join(self.splits)}; got {split!r}")
        self.folder = Path(root)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"There is no folder '{self.folder}'")
        for path in self.required_files():
            if not path.is_file():
                raise FileNotFoundError(f"'{path}' is missing; {type(self).__name__} needs it")
        self.split = split
        self._findings = Findings()
        super().__init__(str(root), transform, pre_transform, force_reload=force_reload)

    @classmethod
    @abstractmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether the folder is one of this data set."""

    @abstractmethod
    def required_files(self) -> list[Path]:
        """Files without which the folder cannot be read."""

    @abstractmethod
    def read_entities(self) -> KnowledgeBase:
        """Reads the knowledge base."""

    @abstractmethod
    def read_mentions(self) -> Iterator[Mention]:
        """Reads the mentions of :attr:`split` (all for None), as the files have them; more are filtered out."""

    @cached_property
    def entities(self) -> KnowledgeBase:
        """The knowledge base."""
        entities = self.read_entities()
        if entities.num_duplicates:
            self._findings.add('duplicate_entity', f"{entities.num_duplicates} of "
                               f"{len(entities) + entities.num_duplicates}", entities.num_duplicates)
        return entities

    @cached_property
    def mentions(self) -> list[Mention]:
        """The mentions of the split."""
        mentions = [mention for mention in self.read_mentions() if self.split in (None, mention.split)]
        if self.split is not None and not mentions:
            raise ValueError(f"'{self.folder}' has no mentions of the split '{self.split}'")
        names = list(dict.fromkeys(name for mention in mentions for name in (*mention.candidates, mention.answer)
                                   if name is not None))
        known = {name for name, row in zip(names, self.entities.rows(names), strict=True) if row >= 0}
        seen: set[str] = set()
        checked = [self._check(mention, known, seen) for mention in mentions]
        return checked if self.pre_transform is None else [self.pre_transform(mention) for mention in checked]

    @property
    def findings(self) -> Findings:
        """What was found in the files of the split; pictures are not opened for it (see :func:`describe`)."""
        _ = self.entities, self.mentions
        return self._findings

    def _check(self, mention: Mention, known: set[str], seen: set[str]) -> Mention:
        add = self._findings.add
        if mention.id in seen:
            add('duplicate_mention', mention.id)
        seen.add(mention.id)
        candidates = tuple(name for name in mention.candidates if name in known)
        if missing := [name for name in mention.candidates if name not in known]:
            add('unknown_candidate', f'{missing[0]} of mention {mention.id}', len(missing))
        distinct = tuple(dict.fromkeys(candidates))
        if len(distinct) < len(candidates):
            add('repeated_candidate', f'mention {mention.id}', len(candidates) - len(distinct))
        if not distinct:
            add('no_candidates', mention.id)
        if mention.nil:
            add('nil', mention.id)
        elif mention.answer is None:
            add('unanswered', mention.id)
        elif mention.answer not in known:
            add('unknown_answer', f'{mention.answer} of mention {mention.id}')
        span = find_span(mention.sentence, mention.surface, *(mention.span or ()))
        if mention.span not in (None, span):
            add('wrong_span', mention.id)
        if span is None:
            add('not_in_sentence', mention.id)
        return replace(mention, candidates=distinct, span=span)

    def len(self) -> int:
        return len(self.mentions)

    def get(self, idx: int) -> Mention:
        return self.mentions[idx]


def draw_split(mentions: list[Mention], fractions: tuple[float, float] = (0.1, 0.1), seed: int = 0) -> list[Mention]:
    r"""Divides mentions into ``"train"``, ``"val"`` and ``"test"`` by answer and sentence: no entity answers in two
    splits, and no sentence (:func:`plain`) is in two.

    Mentions that share an answer or a sentence, directly or through others, stay together. Groups are drawn one after
    the other, each into the first of ``"val"``, ``"test"`` that has room for it; the rest is ``"train"``, and so is a
    group too large for either.

    Args:
        mentions: The mentions; what split they had is forgotten.
        fractions: Of the mentions, for ``"val"`` and ``"test"``; 0 for none.
        seed: Seed of the draw.

    Raises:
        ValueError: If the fractions are not between 0 and 1 together.
    """
    from networkx.utils import UnionFind

    if not all(fraction >= 0 for fraction in fractions) or not sum(fractions) <= 1:
        raise ValueError(f"Fractions of a split must be 0 or more and 1 at most together, got {fractions}")
    joined = UnionFind()
    for row, mention in enumerate(mentions):
        keys = [('row', row)]
        keys += [('sentence', sentence)] if (sentence := plain(mention.sentence)) else []
        keys += [] if mention.answer is None else [('answer', mention.answer)]
        joined.union(*keys)
    groups = [[row for kind, row in group if kind == 'row'] for group in joined.to_sets()]
    groups.sort(key=lambda group: sorted(mentions[row].id for row in group))  # whatever order the mentions come in
    room = {'val': round(fractions[0] * len(mentions)), 'test': round(fractions[1] * len(mentions))}
    split: dict[int, str] = {}
    for place in np.random.default_rng(seed).permutation(len(groups)).tolist():
        group = groups[place]
        name = next((name for name, free in room.items() if len(group) <= free), 'train')
        if name in room:
            room[name] -= len(group)
        split |= dict.fromkeys(group, name)
    return [replace(mention, split=split[row]) for row, mention in enumerate(mentions)]
