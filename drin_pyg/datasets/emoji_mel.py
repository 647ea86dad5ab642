from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from drin_pyg.datasets.gzip_lines import read_gzip_lines
from drin_pyg.datasets.knowledge_base import EntityList
from drin_pyg.datasets.mel_dataset import MELDataset
from drin_pyg.datasets.picture import Picture
from drin_pyg.datasets.records import Entity, Mention

CELL, COLUMNS = 64, 43  # sprite sheets: pixels of a cell, cells of a row
FILES = ('entities.jsonl.gz', 'mentions.jsonl.gz', 'noto.webp', 'twemoji.webp', 'fluent.webp')


class EmojiMEL(MELDataset):
    r"""Multimodal entity linking on emoji: small, real, and shipped inside the package.

    1,799 entities with their CLDR name, keywords and Noto picture; 3,597 mentions, each an
    ambiguous keyword with tags or a gloss that people wrote and another vendor's picture (Twemoji
    or Fluent), with 32 candidates that share the keyword. Names, texts and pictures are real; only
    their pairing into mentions is constructed. The split is by entity (train 2,487 / val 391 /
    test 719), so a test entity was never an answer in training. Sources and licences are in
    ``data/emoji_mel/NOTICE.md``; ``data/emoji_mel_build/build.py`` rebuilds the pictures and
    entities byte for byte and draws an equivalent, not identical, sample of mentions.

    Arguments and errors are those of :class:`MELDataset`; ``root`` is a folder with the five files
    (default: those of the package).
    """

    def __init__(
        self,
        root: str | None = None,
        split: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
    ):
        root = Path(__file__).parent / 'data' / 'emoji_mel' if root is None else root
        super().__init__(root, split, transform, pre_transform, force_reload)

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether the folder is one of this data set."""
        return all((folder / name).is_file() for name in FILES)

    def required_files(self) -> list[Path]:
        return [self.folder / name for name in FILES]

    def read_entities(self) -> EntityList:
        return EntityList(
            Entity(record['id'], record['name'], record['description'], (self._cell('noto.webp', row), ))
            for row, record in enumerate(self._entity_records)
        )

    def read_mentions(self) -> Iterator[Mention]:
        fluent_cell, cells = {}, 0
        for row, record in enumerate(self._entity_records):
            if record['fluent']:
                fluent_cell[row], cells = cells, cells + 1
        for record in read_gzip_lines(self.folder / 'mentions.jsonl.gz'):
            row = record['entity']
            if record['vendor'] == 'fluent':
                picture = self._cell('fluent.webp', fluent_cell[row])
            else:
                picture = self._cell('twemoji.webp', row)
            yield Mention(
                id=str(record['id']),
                surface=record['surface'],
                sentence=record['text'],
                pictures=(picture, ),
                answer=self._entity_records[row]['id'],
                candidates=tuple(self._entity_records[c]['id'] for c in record['cand']),
                split=record['split'],
            )

    @cached_property
    def _entity_records(self) -> list[dict]:
        return list(read_gzip_lines(self.folder / 'entities.jsonl.gz'))

    def _cell(self, sheet: str, cell: int) -> Picture:
        left, upper = cell % COLUMNS * CELL, cell // COLUMNS * CELL
        return Picture(self.folder / sheet, (left, upper, left + CELL, upper + CELL))
