r"""Writing files so that they are there whole or not at all, and digests of what is in them."""

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import uuid4

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from torch import Tensor

LOCK = '.lock'
SHA256 = 'sha256'
LONGEST_NAME = 255  # bytes; the system raises what is no word about the folder
TEMPORARY = re.compile(r'\.(.+)\.[0-9a-f]{32}\.tmp')  # of a name; see `temporary_name`
SHORT_WRITE = re.compile(r'\d+ requested and \d+ written')  # NumPy's word for a full disk
READ_AT_ONCE = 2**28  # bytes of a file up to which its digest is compared whenever it is opened: about half a second


@contextmanager
def naming(path: Path) -> Iterator[None]:
    r"""Has an error of writing name the file; the system and NumPy do not say whose disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno is None and SHORT_WRITE.search(str(error)):
            raise OSError(f"'{path}' could not be written whole ({error}); is the disk full?") from error
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def temporary_name(path: Path) -> Path:
    r"""A name beside a path that no other process has, on other machines either, until what is there is renamed."""
    return path.with_name(f'.{path.name}.{uuid4().hex}.tmp')


@contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    r"""A file to write to under a temporary name, which is renamed once all is written; removed on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        with naming(path), open(temporary, 'wb') as file:
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


@contextmanager
def claim(folder: Path, wait: bool = False, inside: Iterable[str] = ()) -> Iterator[None]:
    r"""Keeps a folder to one process that writes there; what killed ones left under temporary names is removed.

    Args:
        folder: The folder, made if need be.
        wait: Whether to wait for another process that writes there; otherwise it is an error.
        inside: Folders inside that belong to it.

    Raises:
        BlockingIOError: If another process writes there.
        NotADirectoryError: If it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"'{folder}' is a file, where a folder is to be written; name another")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=-1 if wait else 0):
            try:
                for name in ('.', *inside):
                    remove_leftovers(folder / name)
                yield
            finally:
                (folder / LOCK).unlink(missing_ok=True)  # whoever waits sees that it is gone, and makes a new one
    except Timeout:
        raise BlockingIOError(f"Another process is writing to '{folder}'; wait until it is done, or name another "
                              f"folder") from None


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    r"""Removes what killed processes left of a file in a folder, of any file by default. Only for who keeps others
    from writing there."""
    for path in folder.glob('.*.tmp'):
        if (left := TEMPORARY.fullmatch(path.name)) and name in (None, left[1]):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def cache_folder() -> Path:
    r"""Where computed features are kept: ``$DRIN_PYG_CACHE``, or ``drin_pyg`` in the user's cache folder."""
    if folder := os.environ.get('DRIN_PYG_CACHE'):
        return Path(folder)
    return Path(os.environ.get('XDG_CACHE_HOME', Path.home() / '.cache')) / 'drin_pyg'


def content_key(parts: Iterable[str | bytes | memoryview]) -> str:
    r"""A digest of the parts and of where each ends.

    Raises:
        ValueError: If a part is no text, as JSON can hold some, naming it.
    """
    digest = hashlib.sha256()
    for part in parts:
        try:
            part = part.encode() if isinstance(part, str) else part
        except UnicodeEncodeError:
            raise ValueError(f"{part!r:.200} holds half of a surrogate pair, which is no text; mend or remove it in "
                             f"the data") from None
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
    return utf8(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def utf8(text: str) -> str:
    r"""Text in which half a surrogate pair, which JSON may hold and UTF-8 has not, is escaped as JSON does."""
    return text.encode('utf-8', 'backslashreplace').decode()


def check_format(found: Any, known: int) -> None:
    r"""Raises ValueError if a file is of another format than this version reads.

    Args:
        found: The number in the file.
        known: The number that this version writes.
    """
    if found != known:
        newer = ' (update drin_pyg to read it)' if type(found) is int and found > known else ''
        raise ValueError(f"it is of format {found!r:.40}, and this version of drin_pyg reads {known}{newer}")


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


def fingerprint(path: Path) -> dict[str, Any]:
    r"""Size and SHA-256 of a file, for the record of the folder that it belongs to."""
    return {'bytes': path.stat().st_size, SHA256: digest_file(path)}


def check_file(path: Path, known: dict[str, Any], whole: bool = False) -> None:
    r"""Compares a file with its :func:`fingerprint`: the size always, the digest of a large one if it is asked for.

    Args:
        path: The file.
        known: The fingerprint.
        whole: Whether to read it whatever its size.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is another, naming it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"'{path}' is missing")
    size = path.stat().st_size
    if size != known['bytes']:
        raise ValueError(f"'{path}' is damaged: it has {size:,} bytes instead of {known['bytes']:,}")
    if (whole or size <= READ_AT_ONCE) and digest_file(path) != known[SHA256]:
        raise ValueError(f"'{path}' is damaged: its SHA-256 is not that of the file that was written")


def check_files(folder: Path, record: dict[str, Any], remedy: str, whole: bool = False,
                names: Iterable[str] | None = None) -> None:
    r"""Compares the files of a folder with the fingerprints in its record; one of an earlier version has none.

    Args:
        folder: The folder.
        record: The record, with the fingerprints under ``files``.
        remedy: What to do about another file.
        whole: Whether to read files whatever their size.
        names: Of these files alone.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If one is another, naming it and the remedy.
    """
    known = record.get('files', {})
    try:
        for name in known if names is None else [name for name in names if name in known]:
            check_file(own_file(folder, name), known[name], whole)
    except ValueError as error:
        raise ValueError(f'{error}; {remedy}') from error
    except (TypeError, KeyError) as error:
        raise ValueError(f"What the record of '{folder}' says of its files cannot be read: {error!r:.200}; "
                         f"{remedy}") from error


def tensor_key(tensors: dict[str, 'Tensor'], *about: str) -> str:
    r"""A digest of tensors by name, and of what is to be said ``about`` them."""
    import torch

    def parts() -> Iterator[str | memoryview]:  # one tensor's bytes at a time
        yield from about
        for name, value in sorted(tensors.items()):
            value = value.detach().cpu().contiguous()
            yield name
            yield str(value.dtype)
            yield value.flatten().view(torch.uint8).numpy().data

    return content_key(parts())


def stored_key(path: Path) -> str | None:
    r"""The :func:`tensor_key` in the header of a safetensors file; None if it has none, as in earlier versions."""
    from safetensors import safe_open

    with safe_open(path, 'pt') as file:
        return (file.metadata() or {}).get(SHA256)


def write_record(path: Path, record: dict[str, Any]) -> None:
    r"""Writes JSON with a digest of its content."""
    write_atomic(path, json.dumps({**record, SHA256: _record_key(record)}, indent=2).encode() + b'\n')


def read_record(path: Path, known: int = 1, signed: bool = False) -> dict[str, Any]:
    r"""Reads JSON that :func:`write_record` wrote, or an earlier version without a digest.

    Args:
        path: The file.
        known: The format that this version reads. A file that names none is of format 1.
        signed: Whether one without a digest is refused, too.

    Raises:
        ValueError: If it is no JSON object, of another format, or not what was written.
    """
    try:
        record = json.loads(path.read_text(encoding='utf-8'))
        if not isinstance(record, dict):
            raise ValueError('it holds no JSON object')
        check_format(record.get('format', 1), known)  # first: another version may have another way to say it is whole
        key = _record_key(record)
        if record.pop(SHA256, None if signed else key) != key:
            raise ValueError('its content is not what was written')
    except RecursionError:
        raise ValueError('it is nested too deeply') from None
    return record


def _record_key(record: dict[str, Any]) -> str:
    content = {name: value for name, value in record.items() if name != SHA256}
    return content_key([json.dumps(json.loads(json.dumps(content)), sort_keys=True)])


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
    try:
        check_format(settings.pop('format', 1), known)
    except ValueError as error:
        raise ValueError(f"'{path}' cannot be read: {error}") from error
    return settings
