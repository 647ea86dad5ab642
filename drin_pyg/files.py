r"""Writing files so that they are there whole or not at all, and digests of what is in them."""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    r"""A file to write to under a temporary name, which is renamed once all is written; removed on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        with open(temporary, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes) -> None:
    r"""Writes a file under a temporary name and renames it."""
    with open_atomic(path) as file:
        file.write(data)


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


def to_json(value: Any) -> str:
    r"""JSON that is the same for equal values: the keys of objects are sorted."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def plain(value: Any) -> Any:
    r"""A value for JSON, which has no NaN and no infinity: None in their place."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def format_json(value: Any) -> str:
    r"""JSON to read: indented, None for what is no number. Half a surrogate pair is escaped, as UTF-8 has none."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode('utf-8', 'backslashreplace').decode()


def check_format(found: Any, known: int) -> None:
    r"""Raises ValueError if a file is of another format than this version reads.

    Args:
        found: The number in the file.
        known: The number that this version writes.
    """
    if found != known:
        newer = ' (update drin_pyg to read it)' if type(found) is int and found > known else ''
        raise ValueError(f"it is of format {found!r}, and this version of drin_pyg reads {known}{newer}")


def digest_file(path: str | Path) -> str:
    r"""SHA-256 of a file's bytes, read in pieces."""
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def read_yaml(path: str | Path, known: int = 1) -> dict[str, Any]:
    r"""Settings of a YAML file, without its ``format``. A file that names none, as people write them, is of format 1.

    Args:
        path: The file.
        known: The format that this version reads.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no mapping, or is of another format.
    """
    import yaml

    try:
        settings = yaml.safe_load(Path(path).read_text(encoding='utf-8')) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"'{path}' is no YAML: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"'{path}' must hold 'name: value' lines, got {settings!r:.60}")
    try:
        check_format(settings.pop('format', 1), known)
    except ValueError as error:
        raise ValueError(f"'{path}' cannot be read: {error}") from error
    return settings
