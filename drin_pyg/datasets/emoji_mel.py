import gzip
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from torch_geometric.data import Dataset

from drin_pyg.datasets.records import Entity, Mention, Picture

CELL, COLUMNS = 64, 43  # sprite sheets: pixels of a cell, cells of a row
FILES = ('entities.jsonl.gz', 'mentions.jsonl.gz', 'noto.webp', 'twemoji.webp', 'fluent.webp')


class EmojiMEL(Dataset):
    r"""Multimodal entity linking on emoji: small, real, and shipped inside the package.

    1,799 entities with their CLDR name, keywords and Noto picture; 3,597 mentions, each an
    ambiguous keyword with tags or a gloss that people wrote and another vendor's picture (Twemoji
    or Fluent), with 32 candidates that share the keyword. Names, texts and pictures are real; only
    their pairing into mentions is constructed. The split is by entity (train 2,487 / val 391 /
    test 719), so a test entity was never an answer in training. Sources and licences are in
    ``data/emoji_mel/NOTICE.md``; ``data/emoji_mel_build/build.py`` rebuilds the pictures and
    entities byte for byte and draws an equivalent, not identical, sample of mentions.

    ``dataset[i]`` is a :class:`Mention`; ``dataset.entities`` and ``dataset.mentions`` are the
    records. :func:`drin_pyg.features.offline_tables` turns them into tables for the graphs.

    Args:
        root: Folder with the five files (default: those of the package).
        split: ``"train"``, ``"val"``, ``"test"``, or None for all mentions. Entities are the whole
            knowledge base in any split.
        transform: Applied to a mention on every access.
        pre_transform: Applied to each mention once, when it is read.
        force_reload: Accepted for PyG's sake; nothing is cached, so every instance reads anew.

    Raises:
        FileNotFoundError: Naming the first missing file.
        ValueError: If ``split`` is unknown.
    """

    splits = ('train', 'val', 'test')

    def __init__(
        self,
        root: str | None = None,
        split: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
    ):
        if split is not None and split not in self.splits:
            raise ValueError(f"EmojiMEL has the splits {', '.join(self.splits)}; got {split!r}")
        self.folder = Path(__file__).parent / 'data' / 'emoji_mel' if root is None else Path(root)
        for name in FILES:
            if not (self.folder / name).is_file():
                raise FileNotFoundError(f"EmojiMEL file '{self.folder / name}' is missing; leave 'root' out to use "
                                        f"the files of the package")
        self.split = split
        super().__init__(root, transform, pre_transform, force_reload=force_reload)

    @cached_property
    def entities(self) -> list[Entity]:
        """The knowledge base."""
        return [
            Entity(record['id'], record['name'], record['description'], (self._cell('noto.webp', row), ))
            for row, record in enumerate(self._entity_records)
        ]

    @cached_property
    def mentions(self) -> list[Mention]:
        """The mentions of the split."""
        fluent_cell, cells = {}, 0
        for row, record in enumerate(self._entity_records):
            if record['fluent']:
                fluent_cell[row], cells = cells, cells + 1
        mentions = []
        for record in _read_lines(self.folder / 'mentions.jsonl.gz'):
            if self.split not in (None, record['split']):
                continue
            row = record['entity']
            if record['vendor'] == 'fluent':
                picture = self._cell('fluent.webp', fluent_cell[row])
            else:
                picture = self._cell('twemoji.webp', row)
            mention = Mention(
                id=str(record['id']),
                surface=record['surface'],
                sentence=record['text'],
                pictures=(picture, ),
                answer=self._entity_records[row]['id'],
                candidates=tuple(self._entity_records[c]['id'] for c in record['cand']),
                split=record['split'],
            )
            mentions.append(mention if self.pre_transform is None else self.pre_transform(mention))
        return mentions

    @cached_property
    def _entity_records(self) -> list[dict]:
        return _read_lines(self.folder / 'entities.jsonl.gz')

    def _cell(self, sheet: str, cell: int) -> Picture:
        left, upper = cell % COLUMNS * CELL, cell // COLUMNS * CELL
        return Picture(self.folder / sheet, (left, upper, left + CELL, upper + CELL))

    def len(self) -> int:
        return len(self.mentions)

    def get(self, idx: int) -> Mention:
        return self.mentions[idx]


def _read_lines(path: Path) -> list[dict]:
    with gzip.open(path, 'rt', encoding='utf-8') as file:
        return [json.loads(line) for line in file]
