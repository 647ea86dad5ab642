from pathlib import Path

from drin_pyg.datasets import open_dataset
from drin_pyg.datasets.open_dataset import EMOJI, is_packaged
from drin_pyg.features import Encoding, MELData, OfflineFeatures, encode, load_tables
from drin_pyg.files import cache_folder


def load_data(source: str | Path = EMOJI, progress: bool = False) -> MELData:
    r"""Data to train on.

    Args:
        source: A folder that ``drin-pyg encode`` wrote, or ``"emoji"`` for the packaged
            :class:`~drin_pyg.datasets.EmojiMEL` with the offline features, which are computed once
            and kept in the cache folder; vendors of its pictures may follow, as in
            :func:`~drin_pyg.datasets.open_dataset`.
        progress: Whether to show progress bars.

    Raises:
        FileNotFoundError: If the folder holds no tables.
        ValueError: If its files are damaged or do not belong together, or the vendors cannot be read.
    """
    if is_packaged(source):
        return encode(open_dataset(source), OfflineFeatures(Encoding(cache_folder(), progress=progress)))
    return load_tables(source, Encoding(progress=progress))
