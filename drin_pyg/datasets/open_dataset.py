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
READERS: tuple[type[MELDataset], ...] = (MELFolder, EmojiMEL, WikiMELText, WikiDiverse, WikiMEL, RichpediaMEL)


def open_dataset(source: str | Path, split: str | None = None) -> MELDataset:
    r"""A data set by its folder: the reader is found by the files that are there.

    Args:
        source: A folder, or ``"emoji"`` for the packaged :class:`EmojiMEL`.
        split: As in :class:`MELDataset`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If no reader, or more than one, knows the files.
    """
    if str(source) == EMOJI:
        return EmojiMEL(split=split)
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
