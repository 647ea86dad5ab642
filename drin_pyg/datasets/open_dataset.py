from pathlib import Path

from drin_pyg.datasets.drin_preprocessed import DRINPreprocessed
from drin_pyg.datasets.emoji_mel import EmojiMEL
from drin_pyg.datasets.mel_dataset import MELDataset
from drin_pyg.datasets.mel_folder import MELFolder
from drin_pyg.datasets.richpedia_mel import RichpediaMEL
from drin_pyg.datasets.wikidiverse import WikiDiverse
from drin_pyg.datasets.wikimel import WikiMEL
from drin_pyg.datasets.wikimel_text import WikiMELText

EMOJI = 'emoji'
SIDES = {'mention': 'mention_vendors', 'entity': 'entity_vendors'}
READERS: tuple[type[MELDataset], ...] = (MELFolder, EmojiMEL, WikiMELText, WikiDiverse, WikiMEL, RichpediaMEL)


def open_dataset(source: str | Path, split: str | None = None) -> MELDataset:
    r"""A data set by its folder: the reader is found by the files that are there.

    Args:
        source: A folder, or ``"emoji"`` for the packaged :class:`EmojiMEL`, whose vendors may follow:
            ``"emoji:mention=twemoji,entity=noto+fluent"`` (either alone will do; the rest as by default).
        split: As in :class:`MELDataset`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If no reader, or more than one, knows the files, or the vendors cannot be read.
    """
    if is_packaged(source):
        return EmojiMEL(split=split, **_vendors(str(source)))
    folder = Path(source)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder '{source}'")
    readers = [reader for reader in READERS if reader.recognises(folder)]
    if len(readers) == 1:
        return readers[0](folder, split)
    if readers:
        raise ValueError(f"'{folder}' holds the files of several data sets: "
                         f"{', '.join(reader.__name__ for reader in readers)}; give each a folder of its own")
    if DRINPreprocessed.recognises(folder):
        raise ValueError(f"'{folder}' holds features in DRIN's preprocessed format, no texts and no pictures; "
                         f"`drin-pyg encode` turns it into tables to train on")
    raise ValueError(f"'{folder}' holds no data set that is known here ({', '.join(r.__name__ for r in READERS)}); for "
                     f"data of your own, write 'entities.jsonl' and 'mentions.jsonl' (see drin_pyg.datasets.MELFolder)")


def is_packaged(source: str | Path) -> bool:
    r"""Whether a source names the packaged data set, with or without vendors, and no folder."""
    return str(source).split(':')[0] == EMOJI


def _vendors(source: str) -> dict[str, tuple[str, ...]]:
    """Arguments of :class:`EmojiMEL` that follow the colon of a source."""
    vendors: dict[str, tuple[str, ...]] = {}
    _, colon, rest = source.partition(':')
    for part in rest.split(',') if colon else ():
        side, equals, names = part.partition('=')
        if not equals or side not in SIDES or SIDES[side] in vendors:
            raise ValueError(f"'{source}' says which vendors draw the pictures, but '{part}' of it cannot be read; "
                             f"write '{EMOJI}:mention=twemoji,entity=noto+fluent', each side once at most")
        vendors[SIDES[side]] = tuple(names.split('+'))
    return vendors
