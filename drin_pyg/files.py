r"""Writing files so that they are there whole or not at all, and a cache keyed by content."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)


def write_atomic(path: Path, data: bytes) -> None:
    r"""Writes a file under a temporary name and renames it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        with open(temporary, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def cache_folder() -> Path:
    r"""Where computed features are kept: ``$DRIN_PYG_CACHE``, or ``drin_pyg`` in the user's cache folder."""
    if folder := os.environ.get('DRIN_PYG_CACHE'):
        return Path(folder)
    return Path(os.environ.get('XDG_CACHE_HOME', Path.home() / '.cache')) / 'drin_pyg'


def content_key(parts: Iterable[str | bytes]) -> str:
    r"""A digest of the parts and of where each ends."""
    digest = hashlib.sha256()
    for part in parts:
        part = part.encode() if isinstance(part, str) else part
        digest.update(len(part).to_bytes(8, 'little'))
        digest.update(part)
    return digest.hexdigest()


def cached(name: str, key: str, compute: 'Callable[[], Tensor]') -> 'Tensor':
    r"""A table from the cache, computed and stored if it is not there.

    Args:
        name: First part of the file's name, for people.
        key: :func:`content_key` of everything the table depends on.
        compute: Computes it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save

    path = cache_folder() / f'{name}-{key[:32]}.safetensors'
    if path.is_file():
        try:
            return load_file(path)['table']
        except (SafetensorError, KeyError, OSError) as error:
            logger.warning("Cache file '%s' is damaged (%s); computing it anew", path, error)
    table = compute().contiguous()
    write_atomic(path, save({'table': table}))
    return table
