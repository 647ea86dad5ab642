import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from drin_pyg.datasets import mimic
from drin_pyg.datasets.knowledge_base import EntityList
from drin_pyg.datasets.mel_dataset import MELDataset
from drin_pyg.datasets.picture_folder import OF_BOTH, OF_ENTITIES, OF_MENTIONS, PictureFolder
from drin_pyg.datasets.raw_files import NIL, check, decode_title, located, read_json, read_lines
from drin_pyg.datasets.records import Entity, Mention

PREFIX = 'wiki_diverse'
WORDS = {'train': 'train', 'val': 'valid', 'test': 'test'}
BRIEF, DESCRIPTIONS = 'entity2brief*.json', 'wikipedia_entity2desc_filtered.tsv'
IMAGES = 'wikipedia_entity2imgs.tsv'
SEPARATOR, IMAGE_SEPARATOR = '@@@@', '[AND]'


class WikiDiverse(MELDataset):
    r"""WikiDiverse, as its authors published it or in MIMIC's cleaned layout (``wiki_diverse_*.json``, :mod:`.mimic`).

    As published:

    * ``{train,valid,test}_w_10cands.json``, or ``{train,valid,test}.json``: lists of mentions of 11 items
      (sentence, image URL, mention, type, words left, words right, entity URL or ``"nil"``,
      candidate URLs, topic, start, end) or of passages of 4 (sentence, image URL, topic, list of
      ``[mention, type, start, end, entity URL]``). A mention is known by ``<train|valid|test>-<row>``,
      in a passage ``-<number>`` more; both count from 0.
    * ``entity2brief*.json`` (one or several, read by name) and ``wikipedia_entity2desc_filtered.tsv``:
      descriptions; ``wikipedia_entity2imgs.tsv``: image URLs.
    * Pictures: ``<MD5 of the last part of the URL>.<any suffix>``.

    An entity is known by its title, decoded and with spaces. The knowledge base is every entity of
    those files and every answer and candidate of any split; what no file describes keeps an empty
    description.

    Args:
        root, split, transform, pre_transform, force_reload: See :class:`MELDataset`.
        images: Folder with the mentions' pictures, absolute or relative to ``root``. Default: its
            sub-folders with ``image`` or ``img`` in their name; of MIMIC's layout ``mention_im*``,
            ``image*`` and ``img*``.
        entity_images: Folder with the entities' pictures. Default: ``images``; of MIMIC's layout
            ``kb_im*`` and ``entity_im*``.
        descriptions: Whose descriptions count, in this order, until one is not empty: ``"brief"``
            (``entity2brief*.json``) and ``"desc"`` (``wikipedia_entity2desc_filtered.tsv``). What is
            not named here need not be there.

    Raises:
        FileNotFoundError: Naming the first missing file or folder.
        ValueError: If ``descriptions`` has another word, or naming file and row (lists count from 0,
            lines from 1) of what is not in the format: broken JSON, a row of another length.
    """

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
        images: str | Path | None = None,
        entity_images: str | Path | None = None,
        descriptions: tuple[str, ...] = ('brief', 'desc'),
    ):
        if not set(descriptions) <= {'brief', 'desc'}:
            raise ValueError(f"'descriptions' are of 'brief' and 'desc'; got {descriptions!r}")
        self.descriptions = tuple(descriptions)
        super().__init__(root, split, transform, pre_transform, force_reload)
        of_mentions, of_entities = OF_MENTIONS, OF_ENTITIES
        if not self._is_mimic:
            of_mentions = of_entities = OF_BOTH
            entity_images = images if entity_images is None else entity_images
        self._images = PictureFolder(self.folder, images, of_mentions, self._findings)
        self._entity_images = PictureFolder(self.folder, entity_images, of_entities, self._findings)

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether a folder's file names are those of this data set."""
        passages = (folder / IMAGES).is_file() and (folder / 'test.json').is_file()
        return mimic.recognises(folder, PREFIX) or any(folder.glob('*_w_10cands.json')) or passages

    @property
    def _is_mimic(self) -> bool:
        return mimic.recognises(self.folder, PREFIX)

    def required_files(self) -> list[Path]:
        if self._is_mimic:
            return mimic.required_files(self.folder, PREFIX)
        described = {'brief': self._brief_files, 'desc': [self.folder / DESCRIPTIONS]}
        return [*map(self._mention_file, WORDS), *(path for source in self.descriptions for path in described[source]),
                self.folder / IMAGES]

    @property
    def _brief_files(self) -> list[Path]:
        return sorted(self.folder.glob(BRIEF)) or [self.folder / BRIEF]

    def _mention_file(self, split: str) -> Path:
        with_candidates, plain = (self.folder / f'{WORDS[split]}{ending}.json' for ending in ('_w_10cands', ''))
        return plain if plain.is_file() and not with_candidates.is_file() else with_candidates

    def read_entities(self) -> EntityList:
        if self._is_mimic:
            return mimic.read_entities(self.folder, self._entity_images)
        texts: dict[str, str] = {}
        for source in self.descriptions:
            for name, text in self._read_brief() if source == 'brief' else _read_table(self.folder / DESCRIPTIONS):
                texts[name] = texts.get(name) or text
        urls: dict[str, list[str]] = {}
        for name, row in _read_table(self.folder / IMAGES):
            urls.setdefault(name, []).extend(row.split(IMAGE_SEPARATOR))
        # Files of descriptions do not know every candidate; without it, its mention would have another task.
        named = (name for split in WORDS for mention, _ in self._read_split(split)
                 for name in (mention.answer, *mention.candidates) if name and name != NIL)
        return EntityList(
            Entity(name, name, texts.get(name, ''), self._entity_images.find(map(_stem, urls.get(name, ())),
                                                                             f'entity {name}'))
            for name in dict.fromkeys((*texts, *urls, *named)))

    def read_mentions(self) -> Iterator[Mention]:
        if self._is_mimic:
            yield from mimic.read_mentions(self.folder, PREFIX, self._images, self.split)
            return
        for split in WORDS:
            if self.split in (None, split):
                for mention, url in self._read_split(split):
                    yield replace(mention, pictures=self._images.find([_stem(url)], f'mention {mention.id}'))

    def _read_brief(self) -> Iterator[tuple[str, str]]:
        for path in self._brief_files:
            for name, text in read_json(path, dict).items():
                with located(path):
                    text = '' if text is None else check(text, str, f"the description of '{name}'")
                yield _title(name), text

    def _read_split(self, split: str) -> Iterator[tuple[Mention, str]]:
        """Each mention of a split, and the URL of its picture."""
        path = self._mention_file(split)
        for row, items in enumerate(read_json(path, list)):
            name = f'{WORDS[split]}-{row}'
            with located(path, f'row {row}'):
                if isinstance(items, list) and len(items) == 11:
                    sentence, url, surface, _, _, _, answer, candidates, _, start, end = items
                    mentions = [_mention(name, sentence, surface, start, end, answer, candidates, split)]
                elif isinstance(items, list) and len(items) == 4 and isinstance(items[3], list):
                    sentence, url, _, parts = items
                    mentions = [_passage_mention(f'{name}-{i}', sentence, part, split) for i, part in enumerate(parts)]
                else:
                    size = f'{len(items)} items' if isinstance(items, list) else f'{items!r:.60}'
                    raise ValueError(f"{size} instead of the 11 of a mention or the 4 of a passage")
                check(url, str, 'the image URL')
            yield from ((mention, url) for mention in mentions)


def _passage_mention(name: str, sentence: str, part: object, split: str) -> Mention:
    if not isinstance(part, list) or len(part) != 5:
        raise ValueError(f"a mention of a passage is {part!r:.60} instead of 5 items")
    surface, _, start, end, answer = part
    return _mention(name, sentence, surface, start, end, answer, [], split)


def _mention(name: str, sentence: str, surface: str, start: int, end: int, answer: str, candidates: list[str],
             split: str) -> Mention:
    answer = check(answer, str, 'the entity URL').strip()
    nil = answer.lower() == NIL
    return Mention(
        id=name,
        surface=check(surface, str, 'the mention'),
        sentence=check(sentence, str, 'the sentence'),
        answer=None if nil or not answer else _title(answer),
        candidates=tuple(map(_title, check(candidates, list, 'the candidates'))),
        split=split,
        span=(check(start, int, 'the start'), check(end, int, 'the end')),
        nil=nil,
    )


# URLs may begin `nhttps`, `hhttps`, `]https` or `ttps`. Nothing needs repair: only their ends are used.

def _title(text: str) -> str:
    """The title in a Wikipedia URL, or in a name; a title may have slashes of its own."""
    return decode_title(text.strip().rpartition('/wiki/')[2])


def _stem(url: str) -> str:
    """What the file of an image URL is called, without suffix; empty if there is no URL."""
    last = url.strip().rpartition('/')[2]
    return last and hashlib.md5(last.encode(errors='surrogatepass'), usedforsecurity=False).hexdigest()


def _read_table(path: Path) -> Iterator[tuple[str, str]]:
    """Title and value of every line after the header."""
    for number, line in read_lines(path):
        items = line.split(SEPARATOR)
        if number > 1 and len(items) != 2:
            raise ValueError(f"'{path}', line {number}: {len(items)} items instead of 2")
        if number > 1:
            yield _title(items[0]), items[1].strip()
