r"""Does a data set give its answers away, or its test set to those who train?"""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from drin_pyg.datasets import Entity, MELDataset, Mention, Picture
from drin_pyg.evaluation.audit_answers import AnswerFigures, answer_figures
from drin_pyg.evaluation.audit_keys import KINDS, Overlap, find_overlaps
from drin_pyg.evaluation.audit_pictures import Fingerprints, fingerprint
from drin_pyg.evaluation.audit_verdicts import Verdict, verdicts

# Rows of the second table: the figure, what it is a share of, and how the table calls it.
ROWS = (
    ('answered', 'mentions', 'have an answer'),
    ('unknown_answer', 'answered', 'answer not in the knowledge base'),
    ('no_candidates', 'mentions', 'no candidates'),
    ('answer_outside', 'listed', 'answer outside the candidates'),
    ('surface_is_name', 'answered', 'mention is the name of the answer'),
    ('name_decides', 'listed', '... and of no other candidate'),
    ('name_misleads', 'listed', '... of one wrong candidate instead'),
    ('answer_image', 'pictured', "picture is one of the answer's"),
    ('wrong_image', 'pictured', "... one of a wrong candidate's"),
    ('answer_near_image', 'pictured', "picture looks like one of the answer's"),
    ('wrong_near_image', 'pictured', "... like one of a wrong candidate's"),
    ('first', 'choices', 'answer is the first candidate'),
    ('last', 'choices', 'answer is the last candidate'),
    ('expected', 'choices', '... by chance'),
)
WIDTH, CELL = 40, 18


@dataclass(frozen=True)
class Audit:
    r"""What :func:`audit` found.

    Args:
        name: Which data set.
        num_mentions: Split name to its mentions (``""``: mentions without a split).
        pictures: How many different ones there are (``distinct``), were ``opened``, and could not
            be (``unusable``).
        distance: Bits in which pictures that look alike may differ; None if that was not asked.
        overlaps: ``(split, other)`` to what mentions of ``split`` share with ``other``, by kind
            (:data:`KINDS`); kinds that could not be looked at are left out.
        answers: Split name to what gives its answers away.
        verdicts: What that means.
    """

    name: str
    num_mentions: dict[str, int]
    pictures: dict[str, int]
    distance: int | None
    overlaps: dict[tuple[str, str], dict[str, Overlap]]
    answers: dict[str, AnswerFigures]
    verdicts: list[Verdict]

    @property
    def leaks(self) -> list[Verdict]:
        """The verdicts of level ``"leak"``."""
        return [verdict for verdict in self.verdicts if verdict.level == 'leak']

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return {
            'name': self.name,
            'mentions': self.num_mentions,
            'pictures': self.pictures,
            'distance': self.distance,
            'overlaps': [{'split': split, 'other': other, **{kind: asdict(overlap) for kind, overlap in kinds.items()}}
                         for (split, other), kinds in self.overlaps.items()],
            'answers': {split: figures.to_dict() for split, figures in self.answers.items()},
            'verdicts': [asdict(verdict) for verdict in self.verdicts],
        }

    def format(self) -> str:
        """Two tables, then the verdicts."""
        splits = ', '.join(f'{split or "no split"} {count:,}' for split, count in self.num_mentions.items())
        pictures = self.pictures
        lines = [
            f'data set           {self.name}',
            f'mentions           {sum(self.num_mentions.values()):,}{splits and f" ({splits})"}',
            f"pictures           {pictures['distinct']:,} of mentions and their candidates, {pictures['opened']:,} "
            f"opened, {pictures['unusable']:,} of them unusable",
        ]
        if self.distance is not None:
            lines.append(f'looks alike        {self.distance} of 64 bits of the perceptual hash may differ')
        if self.overlaps:
            lines += ['', _row('Mentions of one split that share with', [f'{a} / {b}' for a, b in self.overlaps])]
            lines += [_row(label, [self._cell(kinds[kind].count if kind in kinds else 0, self.num_mentions[split], kind)
                                   for (split, _), kinds in self.overlaps.items()]) for kind, label in KINDS.items()]
        if self.answers:
            lines += ['', _row('Mentions of a split', [split or 'no split' for split in self.answers])]
            lines += [_row(label, [self._cell(getattr(figures, name), getattr(figures, base), name)
                                   for figures in self.answers.values()]) for name, base, label in ROWS]
        lines.append('')
        for verdict in self.verdicts:
            lines += textwrap.wrap(verdict.text, 118, initial_indent=f'{verdict.level:<6}', subsequent_indent=' ' * 6)
        return '\n'.join(lines)

    def _cell(self, count: float, base: int, kind: str) -> str:
        if kind.endswith('image'):
            if not self.pictures['distinct']:
                return 'no pictures'
            if not self.pictures['opened']:
                return 'not opened'
            if self.pictures['opened'] == self.pictures['unusable']:
                return 'unusable'
            if 'near' in kind and self.distance is None:
                return 'not compared'
        return f'{count:,.0f} {count / base:7.2%}' if base else '-'


def audit(
    dataset: MELDataset,
    *,
    open_pictures: bool = True,
    distance: int | None = 4,
    workers: int = 1,
    progress: bool = False,
    prints: Fingerprints | None = None,
) -> Audit:
    r"""Looks for what makes results on a data set better than the method behind them.

    Across the splits: sentences, pictures, answers and pairs of words and answer that a split
    shares with another (each a share of the mentions of the first). Within a split: pictures that
    mention and answer have in common, names that decide, answers that cannot be found, and lists
    whose order tells the answer.

    In memory are the mentions; name and pictures' paths of the entities that are an answer or a
    candidate, no others; and 40 bytes for each of their pictures, of which one at a time for each
    worker is decoded.

    Args:
        dataset: The data set; of a part of it (``split=...``) there is nothing to compare across
            splits.
        open_pictures: Whether to open pictures; it takes the longest.
        distance: See :func:`fingerprint`; None to compare pixels alone.
        workers: Processes that open pictures.
        progress: Whether to show progress bars.
        prints: Fingerprints of the data set's pictures (:func:`fingerprint_dataset`), if there are
            some; the four arguments before are then unused.
    """
    mentions, entities = dataset.mentions, judged_entities(dataset)
    pictures = _pictures(mentions, entities)
    if prints is None:
        prints = fingerprint(pictures if open_pictures else (), distance, workers=workers, progress=progress)
    opened = len(prints.pixels) + prints.num_unusable
    overlaps = find_overlaps(mentions, prints)
    answers = answer_figures(mentions, entities, prints)
    answers = {split: answers[split] for split in (*MELDataset.splits, '') if split in answers}
    return Audit(
        name=f'{type(dataset).__name__}, {dataset.folder}',
        num_mentions={split: figures.mentions for split, figures in answers.items()},
        pictures={'distinct': len(pictures), 'opened': opened, 'unusable': prints.num_unusable},
        distance=prints.distance if prints.pixels else None,
        overlaps=overlaps,
        answers=answers,
        verdicts=verdicts(overlaps, answers, with_looks=prints.distance is not None),
    )


def fingerprint_dataset(
    dataset: MELDataset,
    distance: int | None = 4,
    *,
    workers: int = 1,
    progress: bool = False,
) -> Fingerprints:
    r"""Fingerprints of all pictures of mentions, and of the entities that are their answers or candidates."""
    pictures = _pictures(dataset.mentions, judged_entities(dataset))
    return fingerprint(pictures, distance, workers=workers, progress=progress)


def judged_entities(dataset: MELDataset) -> dict[str, Entity]:
    r"""The entities that are an answer or a candidate of a mention, by id and without their description."""
    names = {name for mention in dataset.mentions for name in (*mention.candidates, mention.answer)} - {None}
    rows = dataset.entities.rows(list(names))
    # In the order of the knowledge base, which may lie on disk.
    entities = (dataset.entities[row] for row in np.unique(rows[rows >= 0]).tolist())
    return {entity.id: replace(entity, description='') for entity in entities}


def _row(label: str, cells: Sequence[str]) -> str:
    return f'{label:<{WIDTH}}' + ''.join(f'{cell:>{CELL}}' for cell in cells)


def _pictures(mentions: Sequence[Mention], entities: dict[str, Entity]) -> list[Picture]:
    """Each picture once, in their order; cells of one sheet stay together."""
    return list(dict.fromkeys(picture for record in (*mentions, *entities.values()) for picture in record.pictures))
