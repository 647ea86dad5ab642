from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from drin_pyg.datasets.gzip_lines import read_gzip_lines
from drin_pyg.datasets.knowledge_base import EntityList
from drin_pyg.datasets.mel_dataset import MELDataset, draw_split
from drin_pyg.datasets.raw_files import field
from drin_pyg.datasets.records import Entity, Mention

WORDS_IN_IMAGE = '_'.join(('image', 'text'))  # what is written in it; not the relation of that name
FILES = ('entities.jsonl.gz', 'train.jsonl.gz', 'dev.jsonl.gz')


class WikiMELText(MELDataset):
    r"""WikiMEL's texts with descriptions of its pictures, without the pictures.

    15,066 Wikidata entities (name and description, no picture), 15,319 mentions to train on and
    2,624 of the public test set, in three gzipped files of JSON lines. The latter have ten
    candidates each, in the order of a published retriever, and captions and tags of their picture,
    which become :attr:`Mention.captions`; the former have neither (retrieve candidates first).

    The file ``dev.jsonl.gz`` is the split ``"test"``; ``"train"`` and ``"val"`` divide
    ``train.jsonl.gz`` by answer and sentence (:func:`draw_split`): no entity answers in both, no sentence is in both.

    Args:
        root: The folder.
        split: As all further arguments, see :class:`MELDataset`.
        hold_out: Fraction of the training answers that becomes ``"val"``.
        seed: Seed of that draw.
    """

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
        *,
        hold_out: float = 0.1,
        seed: int = 0,
    ):
        self.hold_out = hold_out
        self.seed = seed
        super().__init__(root, split, transform, pre_transform, force_reload)

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether the folder is one of this data set."""
        return all((folder / name).is_file() for name in FILES)

    def required_files(self) -> list[Path]:
        return [self.folder / name for name in FILES]

    def read_entities(self) -> EntityList:
        return EntityList(read_gzip_lines(self.folder / 'entities.jsonl.gz', _entity))

    def read_mentions(self) -> Iterator[Mention]:
        train = list(read_gzip_lines(self.folder / 'train.jsonl.gz', _mention))
        yield from draw_split(train, (self.hold_out, 0), self.seed)
        for mention in read_gzip_lines(self.folder / 'dev.jsonl.gz', _mention):
            yield replace(mention, split='test')


def _entity(record: dict) -> Entity:
    return Entity(field(record, 'qid', str), field(record, 'name', str), field(record, 'description', str, ''))


def _mention(record: dict) -> Mention:
    parts = [field(record, 'image_caption', str, ''), ', '.join(field(record, 'image_tags', list, [])),
             field(record, WORDS_IN_IMAGE, str, '')]
    caption = '. '.join(part for part in parts if part)
    return Mention(
        id=field(record, 'id', str),
        surface=field(record, 'mention', str),
        sentence=field(record, 'sentence', str),
        answer=field(record, 'answer', str),
        candidates=tuple(field(record, 'candidates', list, [])),
        captions=(caption, ) if caption else (),
    )
