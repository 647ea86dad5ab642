from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from drin_pyg.datasets.gzip_lines import read_gzip_lines
from drin_pyg.datasets.knowledge_base import EntityList
from drin_pyg.datasets.mel_dataset import MELDataset
from drin_pyg.datasets.picture import Picture
from drin_pyg.datasets.raw_files import check, field, identifier
from drin_pyg.datasets.records import Entity, Mention

CELL, COLUMNS = 64, 43  # sprite sheets: pixels of a cell, cells of a row
NOTO, TWEMOJI, FLUENT = VENDORS = ('noto', 'twemoji', 'fluent')
SHEETS = {vendor: f'{vendor}.webp' for vendor in VENDORS}
FILES = ('entities.jsonl.gz', 'mentions.jsonl.gz', *SHEETS.values())


class EmojiMEL(MELDataset):
    r"""Multimodal entity linking on emoji: small, real, and shipped inside the package.

    1,799 entities with their CLDR name, keywords and Noto picture; 3,597 mentions, each an
    ambiguous keyword with tags or a gloss that people wrote and another vendor's picture (Twemoji
    or Fluent), with 32 candidates that share the keyword. Names, texts and pictures are real; only
    their pairing into mentions is constructed. The split is by entity (train 2,487 / val 391 /
    test 719), so a test entity was never an answer in training. Sources and licences are in
    ``data/emoji_mel/NOTICE.md``; ``data/emoji_mel_build/build.py`` rebuilds the pictures and
    entities byte for byte and draws an equivalent, not identical, sample of mentions.

    Both sides can have several pictures: the vendors of ``mention_vendors`` draw every mention, those of
    ``entity_vendors`` every entity. Noto and Twemoji have drawn all 1,799 entities, Fluent 1,524 of
    them. Mentions, candidates and splits stay the same.

    Args:
        root: A folder with the five files (default: those of the package).
        split: As in :class:`MELDataset`, as are ``transform``, ``pre_transform`` and ``force_reload``.
        mention_vendors: Vendors (``"noto"``, ``"twemoji"``, ``"fluent"``) whose pictures of its answer a
            mention has, in this order, those that exist; None for the one vendor that each mention was
            drawn with, Twemoji or Fluent.
        entity_vendors: Vendors whose pictures an entity has.

    Raises:
        FileNotFoundError: Naming the first missing file.
        ValueError: If a vendor is unknown, named twice, or draws mentions and entities: a mention would
            come with the very picture of its answer. Also as in :class:`MELDataset`.
    """

    def __init__(
        self,
        root: str | None = None,
        split: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
        *,
        mention_vendors: Sequence[str] | None = None,
        entity_vendors: Sequence[str] = (NOTO, ),
    ):
        self.mention_vendors = None if mention_vendors is None else _check_vendors('mention_vendors', mention_vendors)
        self.entity_vendors = _check_vendors('entity_vendors', entity_vendors)
        drawn = (TWEMOJI, FLUENT) if self.mention_vendors is None else self.mention_vendors
        if both := [vendor for vendor in drawn if vendor in self.entity_vendors]:
            default = " (each mention's own is Twemoji or Fluent unless 'mention_vendors' says otherwise)"
            raise ValueError(f"'{both[0]}' draws both mentions{default if self.mention_vendors is None else ''} and "
                             f"entities, so a mention would come with the very picture of its answer; give the two "
                             f"sides different vendors")
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
            Entity(record['id'], record['name'], record['description'], self._pictures(row, self.entity_vendors))
            for row, record in enumerate(self._entity_records)
        )

    def read_mentions(self) -> Iterator[Mention]:
        _ = self._entity_records  # errors in there are not those of a mention's line
        yield from read_gzip_lines(self.folder / 'mentions.jsonl.gz', self._mention)

    def _mention(self, record: dict) -> Mention:
        row = self._row(record.get('entity'))
        own = (FLUENT if record.get('vendor') == FLUENT else TWEMOJI, )
        rows = record.get('cand')
        if not isinstance(rows, list):
            raise ValueError(f"'cand' must be a list, got {rows!r:.60}")
        return Mention(
            id=identifier(record),
            surface=field(record, 'surface', str),
            sentence=field(record, 'text', str),
            pictures=self._pictures(row, own if self.mention_vendors is None else self.mention_vendors),
            answer=self._entity_records[row]['id'],
            candidates=tuple(self._entity_records[self._row(candidate)]['id'] for candidate in rows),
            split=field(record, 'split', str),
        )

    def _row(self, value: object) -> int:
        row, count = check(value, int, 'a row'), len(self._entity_records)
        if not 0 <= row < count:
            raise ValueError(f"row {row!s:.20} is none of the {count} entities")
        return row

    @cached_property
    def _entity_records(self) -> list[dict]:
        return list(read_gzip_lines(self.folder / 'entities.jsonl.gz', lambda record: {
            **{name: field(record, name, str) for name in ('id', 'name', 'description')},
            'fluent': bool(record.get('fluent'))}))

    @cached_property
    def _fluent_cells(self) -> dict[int, int]:
        """Cell of the Fluent sheet of each entity row that has one; the other sheets have a cell for every row."""
        drawn = [row for row, record in enumerate(self._entity_records) if record['fluent']]
        return {row: cell for cell, row in enumerate(drawn)}

    def _pictures(self, row: int, vendors: Sequence[str]) -> tuple[Picture, ...]:
        """The pictures of an entity by the vendors that have drawn it."""
        cells = [(vendor, self._fluent_cells.get(row) if vendor == FLUENT else row) for vendor in vendors]
        return tuple(self._cell(SHEETS[vendor], cell) for vendor, cell in cells if cell is not None)

    def _cell(self, sheet: str, cell: int) -> Picture:
        left, upper = cell % COLUMNS * CELL, cell // COLUMNS * CELL
        return Picture(self.folder / sheet, (left, upper, left + CELL, upper + CELL))


def _check_vendors(name: str, vendors: Sequence[str]) -> tuple[str, ...]:
    if isinstance(vendors, str):
        raise ValueError(f"'{name}' must be a sequence of vendors such as ({vendors!r}, ), got the word {vendors!r}")
    if unknown := [vendor for vendor in vendors if vendor not in VENDORS]:
        raise ValueError(f"'{name}' names '{unknown[0]}', which has drawn nothing here; vendors are "
                         f"{', '.join(VENDORS)}")
    if len(set(vendors)) < len(vendors):
        raise ValueError(f"'{name}' names a vendor twice: {', '.join(vendors)}; name each once")
    return tuple(vendors)
