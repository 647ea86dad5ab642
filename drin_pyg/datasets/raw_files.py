r"""What the readers of published layouts share: files read so that an error names its place, and encoded titles."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import numpy as np

NIL = 'nil'  # how the published files mark an answer outside the knowledge base
NEEDED = object()
LONGEST_MESSAGE = 1000  # characters of an error that a file's content may fill
KIND_NAMES = {str: 'a string', int: 'a whole number', list: 'a list', dict: 'an object'}


@contextmanager
def located(path: Path, place: str = '') -> Iterator[None]:
    r"""Puts the file, and a place in it, before the message of a :class:`ValueError` raised inside."""
    try:
        yield
    except (ValueError, RecursionError) as error:  # the latter from JSON that is nested too deeply
        text = str(error)
        more = ' ...' if len(text) > LONGEST_MESSAGE else ''
        raise ValueError(f"'{path}'{f', {place:.80}' if place else ''}: {text[:LONGEST_MESSAGE]}{more}") from error


def read_json(path: Path, *kinds: type) -> Any:
    r"""A JSON file, read whole.

    Raises:
        ValueError: If it is no JSON, or of none of the ``kinds`` (dict, list); naming the file.
    """
    with located(path):
        content = json.loads(path.read_bytes())
        if not isinstance(content, kinds):
            expected = ' or '.join(KIND_NAMES[kind] for kind in kinds)
            raise ValueError(f"{expected} was expected, got {content!r:.60}")
        return content


def read_array(path: Path, mode: Literal['r', 'c'] = 'r') -> np.ndarray:
    r"""A ``.npy`` file, mapped: read from disk as it is needed, never larger in memory than it is on disk.

    Args:
        path: The file.
        mode: ``"r"`` for an array that cannot be written to, ``"c"`` for one that can, but never to the file.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be opened or mapped.
        ValueError: If it is no array of numbers, or shorter than it says, naming it.
    """
    try:
        return np.lib.format.open_memmap(path, mode=mode)
    except OSError as error:  # of the system, which says nothing of what is in the file
        error.filename = str(path)
        raise
    # What reads the header, a Python literal, raises what comes to hand, down to TokenError and RecursionError.
    except Exception as error:
        raise ValueError(f"'{path}' is not a readable .npy array: {error!s:.200}") from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""The lines of a text file that are not blank, ``(number, line)``, numbered from 1."""
    # Only '\n' ends a line: a '\r' may stand inside a description.
    with located(path), open(path, encoding='utf-8', newline='\n') as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line.strip('\r\n')


def check(value: object, kind: type, what: str) -> Any:
    r"""``value``, if it is of a kind (str, int, dict, or list, which is one of strings); else :class:`ValueError`."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{what} must be {KIND_NAMES[kind]}, got {value!r:.60}")
    if isinstance(value, list):
        for item in value:
            check(item, str, f'each of {what}')
    return value


def field(record: object, name: str, kind: type, default: object = NEEDED) -> Any:
    r"""A field of a JSON object (:func:`check`); null counts as absent where there is a default."""
    value = check(record, dict, 'a record').get(name)
    if value is None:
        if default is NEEDED:
            raise ValueError(f"'{name}' is missing")
        return default
    return check(value, kind, f"'{name}'")


def identifier(record: object) -> str:
    r"""The id of a record: a string, or a number that becomes one."""
    value = check(record, dict, 'a record').get('id')
    return str(value) if isinstance(value, int) else field(record, 'id', str)


def decode_title(text: str) -> str:
    r"""A title as people write it: ``Caf%C3%A9_(song)`` becomes ``Café (song)``."""
    with suppress(UnicodeDecodeError):  # not UTF-8: as it is written is better than with characters replaced
        text = unquote(text, errors='strict')
    return text.replace('_', ' ').strip()
