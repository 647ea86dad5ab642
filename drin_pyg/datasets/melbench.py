from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

from drin_pyg.datasets import mimic
from drin_pyg.datasets.knowledge_base import EntityList
from drin_pyg.datasets.mel_dataset import MELDataset
from drin_pyg.datasets.picture_folder import OF_ENTITIES, OF_MENTIONS, PictureFolder
from drin_pyg.datasets.raw_files import NIL, check, field, identifier, located, read_json, read_lines
from drin_pyg.datasets.records import Entity, Mention

NAMES, DESCRIPTIONS, CANDIDATES = 'qid2ne.json', 'qid2abs.json', 'candidates-answer.tsv'
WORDS = {'train': ('train', ), 'val': ('valid', 'val', 'dev'), 'test': ('test', )}


class MELBench(MELDataset):
    r"""What the two data sets of MELBench share; see :class:`WikiMEL` and :class:`RichpediaMEL`.

    Args:
        root, split, transform, pre_transform, force_reload: See :class:`MELDataset`.
        images: Folder with the mentions' pictures, absolute or relative to ``root``. Default: its
            sub-folders ``mention_im*``, ``image*`` and ``img*``.
        entity_images: Folder with the entities' pictures. Default: its sub-folders ``kb_im*`` and
            ``entity_im*``.

    Raises:
        FileNotFoundError: Naming the first missing file or folder.
        ValueError: Naming file and record of what is not in the format: broken JSON, lists of a
            record that do not go together, a row of candidates of another length or for an id that
            had one, an id in the lists of two splits or of no record.
    """

    stem: ClassVar[str]
    prefix: ClassVar[str]
    id_is_answer: ClassVar[bool] = False  # whether a record without an answer means the entity of its own id

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
        images: str | Path | None = None,
        entity_images: str | Path | None = None,
    ):
        super().__init__(root, split, transform, pre_transform, force_reload)
        self._images = PictureFolder(self.folder, images, OF_MENTIONS, self._findings)
        self._entity_images = PictureFolder(self.folder, entity_images, OF_ENTITIES, self._findings)

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether a folder's file names are those of this data set."""
        return mimic.recognises(folder, cls.prefix) or (folder / f'{cls.stem}.json').is_file()

    def required_files(self) -> list[Path]:
        if mimic.recognises(self.folder, self.prefix):
            return mimic.required_files(self.folder, self.prefix)
        whole, parts = self.folder / f'{self.stem}.json', split_files(self.folder)
        in_parts = not whole.is_file() and any(path.suffix == '.json' for path in parts.values())
        mentions = [self.folder / f'{words[0]}.json' if split not in parts else parts[split]
                    for split, words in WORDS.items()] if in_parts else [whole]
        return [*mentions, self.folder / NAMES, self.folder / DESCRIPTIONS]

    def read_entities(self) -> EntityList:
        if mimic.recognises(self.folder, self.prefix):
            return mimic.read_entities(self.folder, self._entity_images)
        names, descriptions = _texts(self.folder / NAMES), dict(_texts(self.folder / DESCRIPTIONS)[::-1])
        named = {qid for qid, _ in names}
        names += [(qid, '') for qid in reversed(descriptions) if qid not in named]
        # Nothing says which entities have a picture, so one that has none misses none.
        return EntityList(Entity(qid, name, descriptions.get(qid, ''), self._entity_images.find([qid], None))
                          for qid, name in names)

    def read_mentions(self) -> Iterator[Mention]:
        if mimic.recognises(self.folder, self.prefix):
            yield from mimic.read_mentions(self.folder, self.prefix, self._images, self.split)
            return
        candidates = _candidates(self.folder / CANDIDATES)
        whole, parts = self.folder / f'{self.stem}.json', split_files(self.folder)
        split_of = _split_of(parts) if whole.is_file() else {}
        seen: set[str] = set()
        for part, path in [('', whole)] if whole.is_file() else parts.items():
            for key, record in _records(path):
                with located(path, f"record '{key}'"):
                    sentence, flat = field(record, 'sentence', str), self._flatten(key, record)
                image = key.partition('-')[0]
                for names, surface, answer in flat:
                    seen.update(keys := (*names, key, image))
                    split = part or next((split_of[name] for name in keys if name in split_of), '')
                    if self.split in (None, split):
                        nil = answer.lower() == NIL
                        yield Mention(
                            id=names[0],
                            surface=surface,
                            sentence=sentence,
                            pictures=self._images.find([image], f'mention {names[0]}'),
                            answer=None if nil or not answer else answer,
                            candidates=next((candidates[name] for name in names if name in candidates), ()),
                            split=split,
                            nil=nil,
                        )
        if strangers := split_of.keys() - seen:
            name = min(strangers)
            raise ValueError(f"'{parts[split_of[name]]}': the id '{name:.80}' is that of no record in '{whole}'")

    def _flatten(self, key: str, record: dict) -> list[tuple[tuple[str, ...], str, str]]:
        """Each mention of a record: the names it goes by (its id first), its words and its answer."""
        lists = {name: value if isinstance(value, list) else [value] for name in ('mentions', 'answer', 'entities')
                 if (value := record.get(name)) is not None}
        surfaces = lists.get('mentions')
        if surfaces is None:
            raise ValueError("'mentions' is missing")
        for name, values in lists.items():
            if len(check(values, list, f"'{name}'")) != len(surfaces):
                raise ValueError(f"'mentions' and '{name}' go together, but hold {len(surfaces)} and {len(values)}")
        missing = key.partition('-')[0] if self.id_is_answer else ''
        answers = [answer.strip() for answer in lists.get('answer', [missing] * len(surfaces))]
        single = len(surfaces) == 1
        return [((key, f'{key}-0') if single else (f'{key}-{i}', ), surface, answer)
                for i, (surface, answer) in enumerate(zip(surfaces, answers, strict=True))]


def split_files(folder: Path) -> dict[str, Path]:
    r"""Files that tell the splits apart, by split: ``train``, ``valid`` (``val``, ``dev``), ``test``, .json or .txt."""
    found = {}
    for split, words in WORDS.items():
        for path in (folder / f'{word}{suffix}' for word in words for suffix in ('.json', '.txt')):
            if path.is_file():
                found.setdefault(split, path)
    return found


def _split_of(parts: dict[str, Path]) -> dict[str, str]:
    split_of: dict[str, str] = {}
    for split, path in parts.items():
        if path.suffix == '.txt':
            ids = [line.strip() for _, line in read_lines(path)]
        else:
            content = read_json(path, dict, list)
            with located(path):
                ids = [identifier(item if isinstance(item, dict) else {'id': item}) for item in content]
        for name in ids:
            if split_of.setdefault(name, split) != split:
                raise ValueError(f"'{path}': the id '{name:.80}' is in '{parts[split_of[name]]}' too")
    return split_of


def _records(path: Path) -> Iterator[tuple[str, dict]]:
    content = read_json(path, dict, list)
    for place, record in content.items() if isinstance(content, dict) else enumerate(content):
        with located(path, f"record '{place}'"):
            check(record, dict, 'a record')
            key = place if isinstance(content, dict) else identifier(record)
        yield key, record


def _texts(path: Path) -> list[tuple[str, str]]:
    """QID and text of a JSON object; null is an empty text."""
    with located(path):
        return [(qid.strip(), '' if text is None else check(text, str, f"the text of '{qid}'"))
                for qid, text in read_json(path, dict).items()]


def _candidates(path: Path) -> dict[str, tuple[str, ...]]:
    """Candidates by id; none if there is no such file."""
    candidates: dict[str, tuple[str, ...]] = {}
    width = None
    for number, line in read_lines(path) if path.is_file() else ():
        name, *qids = (item.strip() for item in line.strip().split('\t'))
        width = len(qids) if width is None else width
        if len(qids) != width:
            raise ValueError(f"'{path}', line {number}: {len(qids)} candidates, where the first line has {width}")
        if name in candidates:
            raise ValueError(f"'{path}', line {number}: the id '{name:.80}' had a line before")
        candidates[name] = tuple(qids)
    return candidates
