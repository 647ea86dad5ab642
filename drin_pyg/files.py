r"""Writing files so that they are there whole or not at all, and digests of what is in them."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

LONGEST_NAME = 255  # bytes; the system raises what is no word about the folder


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


def own_file(folder: Path, name: str) -> Path:
    r"""A file of a folder that may come from a stranger, who is not to choose what else of this machine is read.

    A link must end in its folder, as those of huggingface_hub's cache do, whose folders of one commit link to the
    ``blobs`` beside them. The folder itself may be a link.

    Args:
        folder: The folder.
        name: Name of the file, no path.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the name is a path, or a link that leads out of the folder.
    """
    path = folder / name
    if name in ('', '.', '..') or Path(name).name != name or '\0' in name or len(os.fsencode(name)) > LONGEST_NAME:
        raise ValueError(f"{name!r:.80} names no file of '{folder}'")
    if not path.is_file():
        raise FileNotFoundError(f"'{path}' is missing")
    if path.is_symlink():
        home, target = folder.resolve(), path.resolve()
        stores = [home, *(above.parent / 'blobs' for above in home.parents if above.name == 'snapshots')]
        if not any(target.is_relative_to(store) for store in stores):
            raise ValueError(f"'{path}' is a link that leads out of its folder, to '{target}'; put a copy there, or "
                             f"link to the whole folder")
    return path


def digest_file(path: str | Path) -> str:
    r"""SHA-256 of a file's bytes, read in pieces."""
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def read_yaml(path: str | Path) -> dict[str, Any]:
    r"""Settings of a YAML file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no mapping.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """Without aliases: a few lines of them stand for gigabytes."""

        def compose_node(self, parent, index):
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError('aliases are not taken here; write out what is meant')
            return super().compose_node(parent, index)

    try:
        settings = yaml.load(Path(path).read_text(encoding='utf-8'), Loader) or {}
    # A date or number that is none raises what Python raises; RecursionError comes of what is nested too deeply.
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError) as error:
        raise ValueError(f"'{path}' is no YAML: {str(error)[:1000]}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"'{path}' must hold 'name: value' lines, got {settings!r:.60}")
    return settings
