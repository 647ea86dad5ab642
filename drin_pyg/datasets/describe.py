from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from tqdm import tqdm

from drin_pyg.datasets.findings import Findings
from drin_pyg.datasets.mel_dataset import MELDataset
from drin_pyg.datasets.picture import Picture, PictureError


@dataclass(frozen=True)
class Description:
    r"""What a data set holds.

    Args:
        name: Which data set.
        num_entities: Entities of the knowledge base.
        num_mentions: Split name to its mentions (``""``: mentions without a split).
        candidates: Least, median, mean and largest number of candidates of a mention.
        recall: Split name to the fraction of its answered mentions whose answer is a candidate;
            only splits that have candidates. A mention without candidates counts as one missed.
        pictures: Pictures that mentions and entities refer to, and how many of them are different
            files (or cells).
        findings: What could not be used as it stands.
    """

    name: str
    num_entities: int
    num_mentions: dict[str, int]
    candidates: dict[str, float]
    recall: dict[str, float]
    pictures: dict[str, int]
    findings: Findings

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return {'name': self.name, 'entities': self.num_entities, 'mentions': self.num_mentions,
                'candidates': self.candidates, 'recall': self.recall, 'pictures': self.pictures,
                'findings': self.findings.to_dict(), 'unusable': self.findings.unusable}

    def format(self) -> str:
        """The figures as a table."""
        splits = ', '.join(f'{name or "no split"} {count:,}' for name, count in self.num_mentions.items())
        rows = [('data set', self.name), ('entities', f'{self.num_entities:,}'),
                ('mentions', f'{sum(self.num_mentions.values()):,}{splits and f" ({splits})"}')]
        if self.candidates:
            c = self.candidates
            rows.append(('candidates', f"{c['min']:.0f} to {c['max']:.0f} a mention, median {c['median']:g}, mean "
                         f"{c['mean']:.1f}"))
        rows += [(f'recall, {name or "no split"}', f'{recall:.2%}') for name, recall in self.recall.items()]
        p = self.pictures
        opened = '' if p['opened'] == p['distinct'] else ' (not opened)'
        rows.append(('pictures', f"{p['mention']:,} of mentions, {p['entity']:,} of entities, "
                     f"{p['distinct']:,} distinct{opened}"))
        lines = [f'{name:<18} {value}' for name, value in rows]
        if self.findings.counts:
            lines += ['', "Found (! = not usable as it stands):", self.findings.format()]
        else:
            lines.append('Nothing is wrong with it.')
        return '\n'.join(lines)


def describe(
    dataset: MELDataset,
    *,
    open_pictures: bool = True,
    workers: int = 1,
    progress: bool = False,
) -> Description:
    r"""Looks at all records of a data set, and into its pictures.

    Args:
        dataset: The data set.
        open_pictures: Whether to decode each distinct picture; it takes the longest. Otherwise
            pictures are only counted.
        workers: Processes that decode.
        progress: Whether to show progress bars.
    """
    findings = dataset.findings.copy()
    used: dict[Picture, str] = {}  # a name to show for each distinct picture
    counts = Counter()
    for entity in tqdm(dataset.entities, 'Entities', disable=not progress, leave=False):
        if not entity.description:
            findings.add('no_description', entity.id)
        counts['entity'] += len(entity.pictures)
        for picture in entity.pictures:
            used.setdefault(picture, f'{picture.path.name} of entity {entity.id}')
    splits, listed, with_answer, found = Counter(), Counter(), Counter(), Counter()
    lengths = np.zeros(len(dataset.mentions), dtype=np.int64)
    for i, mention in enumerate(dataset.mentions):
        splits[mention.split] += 1
        lengths[i] = len(mention.candidates)
        listed[mention.split] += bool(mention.candidates)
        if mention.answer is not None:
            with_answer[mention.split] += 1
            found[mention.split] += mention.answer in mention.candidates
        counts['mention'] += len(mention.pictures)
        for picture in mention.pictures:
            used.setdefault(picture, f'{picture.path.name} of mention {mention.id}')
    if open_pictures:
        for picture, reason in _reasons(used, workers, progress):
            kind = 'missing_picture' if reason == 'missing' else 'bad_picture'
            findings.add(kind, used[picture] + ('' if reason == 'missing' else f' ({reason})'))
    figures = {'min': np.min, 'median': np.median, 'mean': np.mean, 'max': np.max} if lengths.any() else {}
    return Description(
        name=f'{type(dataset).__name__}, {dataset.folder}',
        num_entities=len(dataset.entities),
        num_mentions=dict(splits),
        candidates={name: float(figure(lengths)) for name, figure in figures.items()},
        recall={split: found[split] / with_answer[split] for split in splits if listed[split] and with_answer[split]},
        pictures={'mention': counts['mention'], 'entity': counts['entity'], 'distinct': len(used),
                  'opened': len(used) if open_pictures else 0},
        findings=findings,
    )


def _reasons(pictures: Iterable[Picture], workers: int, progress: bool) -> Iterable[tuple[Picture, str]]:
    """The pictures that cannot be used, each with the reason, in order."""
    pictures = list(pictures)
    bar = {'desc': 'Pictures', 'total': len(pictures), 'disable': not progress, 'leave': False}
    if workers > 1 and len(pictures) > 256:
        with ProcessPoolExecutor(workers, mp_context=get_context('spawn')) as pool:
            reasons = list(tqdm(pool.map(_reason, pictures, chunksize=64), **bar))
    else:
        reasons = list(tqdm(map(_reason, pictures), **bar))
    return [(picture, reason) for picture, reason in zip(pictures, reasons, strict=True) if reason]


def _reason(picture: Picture) -> str | None:
    try:
        picture.open()
    except PictureError as error:
        return error.reason
    return None
