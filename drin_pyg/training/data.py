from pathlib import Path

from drin_pyg.datasets import EmojiMEL
from drin_pyg.features import Encoding, MELData, OfflineFeatures, encode, load_tables
from drin_pyg.files import cache_folder

EMOJI = 'emoji'


def load_data(source: str | Path = EMOJI, progress: bool = False) -> MELData:
    r"""Data to train on.

    Args:
        source: A folder that ``drin-pyg encode`` wrote, or ``"emoji"`` for the packaged
            :class:`~drin_pyg.datasets.EmojiMEL` with the offline features, which are computed once
            and kept in the cache folder.
        progress: Whether to show progress bars.

    Raises:
        FileNotFoundError: If the folder holds no tables.
        ValueError: If its files are damaged or do not belong together.
    """
    if str(source) == EMOJI:
        return encode(EmojiMEL(), OfflineFeatures(Encoding(cache_folder(), progress=progress)))
    return load_tables(source, Encoding(progress=progress))
