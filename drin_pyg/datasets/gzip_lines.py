import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from drin_pyg.datasets.raw_files import check, located

T = TypeVar('T')
LONGEST_LINE = 2**26  # bytes; a small file can unpack to any number of them


def read_gzip_lines(path: Path, parse: Callable[[dict], T] = dict) -> Iterator[T]:
    r"""What ``parse`` makes of the JSON objects of a gzipped file of lines; blank lines are passed over.

    Raises:
        ValueError: If the file is damaged, or a line is no JSON object, too long or makes nothing, naming
            the file and the line.
    """
    for number, line in _lines(path):
        with located(path, f'line {number}'):
            record = parse(check(json.loads(line), dict, 'a line'))
        yield record


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    if path.stat().st_size == 0:  # to gzip, no lines; here, what a failed download leaves
        raise ValueError(f"'{path}' is empty")
    number = 0
    try:
        with gzip.open(path) as file:
            while line := file.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE:
                    raise ValueError(f"'{path}', line {number}: it is longer than {LONGEST_LINE:,} bytes")
                if line.strip():
                    yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"'{path}' is damaged beyond line {number}: {error}") from error
