import json
from collections.abc import Iterator
from pathlib import Path

from drin_pyg.datasets.entity_lines import EntityLines
from drin_pyg.datasets.mel_dataset import MELDataset
from drin_pyg.datasets.picture import Picture
from drin_pyg.datasets.raw_files import check, field, located
from drin_pyg.datasets.records import Entity, Mention

ENTITIES, MENTIONS = 'entities.jsonl', 'mentions.jsonl'
LINKINGS_NIL = '-1'  # how the library entity-linkings marks an answer outside the knowledge base


class MELFolder(MELDataset):
    r"""A knowledge base and mentions of your own, as two files of JSON lines: the canonical form.

    * ``entities.jsonl``: ``{"id", "name", "description"?, "images"?: [...]}``.
    * ``mentions.jsonl``: ``{"id", "sentence", "mention", "start"?, "end"?, "images"?: [...],
      "captions"?: [...], "answer"?, "candidates"?: [...], "split"?}``. ``"answer"`` absent: to be
      linked; null: no entity of the knowledge base (NIL). ``"split"`` is ``"train"``, ``"val"`` or
      ``"test"``, or ``""`` for a mention in none, given for all mentions or none.

    Ids are strings. Images are paths relative to the folder. The knowledge base is read from disk
    as it is needed (:class:`EntityLines`), so a million entities take little memory. Mention lines
    of the text-only library ``entity-linkings``, ``{"id", "text", "entities": [{"start", "end",
    "label": [...], "candidates": [...]}]}``, are read too; each of their entities is a mention.

    Arguments and errors are those of :class:`MELDataset`.
    """

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether the folder is one of this data set."""
        return all((folder / name).is_file() for name in (ENTITIES, MENTIONS))

    def required_files(self) -> list[Path]:
        return [self.folder / ENTITIES, self.folder / MENTIONS]

    def read_entities(self) -> EntityLines:
        return EntityLines(self.folder / ENTITIES, self._entity)

    def read_mentions(self) -> Iterator[Mention]:
        path, with_split = self.folder / MENTIONS, None
        with open(path, 'rb') as file:  # bytes: where a line is no UTF-8, the error is that line's
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                with located(path, f'line {number}'):
                    record = check(json.loads(line), dict, 'a line')
                    if with_split not in (None, 'split' in record):
                        raise ValueError("some mentions have a 'split' and some have none; give it to all or none")
                    with_split = 'split' in record
                    mentions = self._mentions(record)
                yield from mentions

    def _entity(self, record: dict) -> Entity:
        return Entity(
            id=field(record, 'id', str),
            name=field(record, 'name', str),
            description=field(record, 'description', str, ''),
            pictures=self._pictures(record),
        )

    def _mentions(self, record: dict) -> list[Mention]:
        if 'text' in record and isinstance(record.get('entities'), list):
            return self._linkings(record)
        answer = field(record, 'answer', str, None)
        start, end = field(record, 'start', int, None), field(record, 'end', int, None)
        if (start is None) != (end is None):
            raise ValueError("'start' and 'end' go together; one of them is missing")
        return [Mention(
            id=field(record, 'id', str),
            surface=field(record, 'mention', str),
            sentence=field(record, 'sentence', str),
            pictures=self._pictures(record),
            answer=answer,
            candidates=tuple(field(record, 'candidates', list, [])),
            split=self._split(record),
            span=None if start is None else (start, end),
            captions=tuple(field(record, 'captions', list, [])),
            nil='answer' in record and answer is None,
        )]

    def _linkings(self, record: dict) -> list[Mention]:
        name, text, mentions = field(record, 'id', str), field(record, 'text', str), []
        split = self._split(record)
        for i, entity in enumerate(record['entities']):
            start, end = field(entity, 'start', int), field(entity, 'end', int)
            labels = tuple(field(entity, 'label', list, []))
            if len(labels) > 1 and self.split in (None, split):
                self._findings.add('several_answers', f'{name}-{i}')
            nil = labels[:1] == (LINKINGS_NIL, )
            mentions.append(Mention(
                id=f'{name}-{i}',
                surface=text[start:end] if 0 <= start < end else '',  # Python would count from the end
                sentence=text,
                pictures=self._pictures(record),
                answer=None if nil or not labels else labels[0],
                candidates=tuple(field(entity, 'candidates', list, [])),
                split=split,
                span=(start, end),
                nil=nil,
            ))
        return mentions

    def _split(self, record: dict) -> str:
        split = field(record, 'split', str, '')
        if split and split not in self.splits:
            raise ValueError(f"'split' must be one of {', '.join(self.splits)}, got {split!r}")
        return split

    def _pictures(self, record: dict) -> tuple[Picture, ...]:
        return tuple(Picture(self.folder / name) for name in field(record, 'images', list, []))
