r"""Bulk linking: parquet in, a folder of parquet out, in pieces that can be done in any order, anywhere, and twice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Literal

from drin_pyg.files import (
    LOCK,
    TEMPORARY,
    claim,
    content_key,
    digest_file,
    open_atomic,
    read_record,
    write_record,
)
from drin_pyg.linking.link_error import check_on_error
from drin_pyg.linking.link_table import LINKS, link_table, pa
from drin_pyg.linking.linker import Linker, check_count
from drin_pyg.training.run import RUN

import pyarrow.parquet as pq  # isort: skip - after the module that says how to install it

FORMAT = 1
JOB, FINISHED = '_job.json', '_finished.json'  # readers of a folder of parquet leave out what begins with '_'
SHARD = 4096  # mentions


@dataclass(frozen=True)
class Shard:
    r"""Rows of the input that become one file of the output; they lie in one row group.

    Args:
        number: Number of the shard.
        path: File of the input.
        group: Row group of the file.
        start, stop: Rows of the row group.
        first: Number of the first row in the whole input, from 1.
    """

    number: int
    path: Path
    group: int
    start: int
    stop: int
    first: int

    @property
    def rows(self) -> int:
        """How many mentions it has."""
        return self.stop - self.start


@dataclass(frozen=True)
class BulkJob:
    r"""What is linked, and where the links are written.

    A shard's file follows from the job alone and is renamed into place when it is whole. So it does not matter who
    writes it, and to write it again, after a process was killed, changes nothing: no mention is lost or there twice.

    Args:
        source: A parquet file, or a folder of such files, read in the order of their names; see
            :func:`~drin_pyg.linking.link_table.link_table` for the columns.
        out: Folder for the links, a file a shard.
        key: What the run is known by; see :func:`run_key`.
        k: Candidates of each mention to write.
        shard: Most mentions of a shard.
        on_error: As in :func:`~drin_pyg.linking.link_table.link_table`.

    Raises:
        ValueError: If ``k`` or ``shard`` is not positive, ``on_error`` is something else, or ``out`` is in ``source``.
    """

    source: Path
    out: Path
    key: str
    k: int = 5
    shard: int = SHARD
    on_error: Literal['raise', 'yield'] = 'raise'

    def __post_init__(self) -> None:
        check_count('k', self.k)
        check_count('shard', self.shard)
        check_on_error(self.on_error)
        if self.out.resolve().is_relative_to(self.source.resolve()):
            raise ValueError(f"The links cannot be written to '{self.out}', inside of what is linked, which would grow "
                             f"by them; name another folder")

    @property
    def folder(self) -> Path:
        """What images are relative to."""
        return self.source if self.source.is_dir() else self.source.parent

    def files(self) -> list[Path]:
        r"""The files of the input.

        Raises:
            FileNotFoundError: If there are none.
        """
        files = sorted(self.source.rglob('*.parquet')) if self.source.is_dir() else [self.source]
        files = [path for path in files if path.is_file()]
        if not files:
            raise FileNotFoundError(f"'{self.source}' is no parquet file and no folder of some")
        return files

    @cached_property
    def shards(self) -> list[Shard]:
        """All pieces of the work, in the order of the input."""
        shards, first = [], 1
        for path in self.files():
            metadata = _open(path).metadata
            for group in range(metadata.num_row_groups):
                rows = metadata.row_group(group).num_rows
                for start, stop in pairwise([*range(0, rows, self.shard), rows]):
                    shards.append(Shard(len(shards), path, group, start, stop, first + start))
                first += rows
        return shards

    @contextmanager
    def begin(self) -> Iterator[list[Shard]]:
        r"""Writes down what the job is, and keeps its folder to this process and those that it starts.

        Yields:
            The shards that are not there yet. Files that are there are read whole: a damaged one is written again.

        Raises:
            BlockingIOError: If another process does this job.
            FileExistsError: If the folder holds anything but an unfinished or finished part of this job.
        """
        self._settle()
        with claim(self.out):
            left = [shard for shard in self.shards if self._read(shard) is None]
            if left:
                (self.out / FINISHED).unlink(missing_ok=True)  # not finished any more
            try:
                yield left
            finally:
                _read_group.cache_clear()

    def _settle(self) -> None:
        record = {'format': FORMAT, 'run': self.key, 'k': self.k, 'shard': self.shard,
                  'input': [[path.name, digest_file(path)] for path in self.files()]}
        path = self.out / JOB
        if path.is_file():
            try:
                found = read_record(path, FORMAT)
            except ValueError as error:
                raise ValueError(f"'{path}' cannot be read: {error}; name another folder") from error
            if differs := [name for name in record if found.get(name) != record[name]]:
                raise FileExistsError(f"'{self.out}' holds the links of another job (another {', '.join(differs)}); "
                                      f"name another folder")
        elif self.out.exists() and not (self.out.is_dir() and all(
                path.name == LOCK or TEMPORARY.fullmatch(path.name) for path in self.out.iterdir())):
            raise FileExistsError(f"'{self.out}' is there, and no folder of links; name another folder")
        else:
            write_record(path, record)

    def run(self, linker: Linker, shard: Shard) -> int:
        r"""Links one shard and writes its file.

        Returns:
            How many mentions it has.

        Raises:
            ValueError: If the file cannot be read, or a mention not be linked and ``on_error`` is ``"raise"``.
        """
        table = _read_group(shard.path, shard.group, shard.path.stat().st_mtime_ns).slice(shard.start, shard.rows)
        try:
            links = link_table(linker, table, self.k, first=shard.first, folder=self.folder, on_error=self.on_error)
        except ValueError as error:
            raise ValueError(f"'{shard.path}' cannot be linked: {str(error)[:1000]}") from error
        with open_atomic(self._path(shard)) as file:
            pq.write_table(links, file, compression='zstd', write_page_checksum=True)
        return links.num_rows

    def finish(self) -> tuple[int, int]:
        r"""Writes the manifest: the job is done, and these are its files.

        Returns:
            How many mentions were linked, and how many could not be.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If an earlier start left out what could not be linked, and ``on_error`` is ``"raise"``.
        """
        files, errors = [], 0
        for shard in self.shards:
            if (links := self._read(shard)) is None:
                raise FileNotFoundError(f"'{self._path(shard)}' is missing or damaged; run the job again")
            errors += shard.rows - links['error'].null_count
            files.append({'name': self._path(shard).name, 'rows': shard.rows})
        if errors and self.on_error == 'raise':
            raise ValueError(f"'{self.out}' has {errors} mentions that an earlier start could not link and left out; "
                             f"see its column 'error'")
        total = sum(file['rows'] for file in files)
        record = {'format': FORMAT, 'rows': total, 'errors': errors, 'files': files}
        write_record(self.out / FINISHED, record)
        return total - errors, errors

    def _path(self, shard: Shard) -> Path:
        return self.out / f'part-{shard.number:07d}.parquet'

    def _read(self, shard: Shard) -> pa.Table | None:
        """The links of a shard; None if they are not there, not ours, or damaged, and to be written again."""
        path = self._path(shard)
        try:
            links = _read(path) if path.is_file() else None
        except ValueError:
            return None
        return links if links is not None and links.num_rows == shard.rows and links.schema == LINKS else None


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"'{path}' is no readable parquet file: {str(error)[:1000]}") from error


def _open(path: Path) -> pq.ParquetFile:
    with _naming(path):
        return pq.ParquetFile(path, page_checksum_verification=True)


def _read(path: Path) -> pa.Table:
    file = _open(path)
    with _naming(path):
        return file.read()


@lru_cache(maxsize=1)  # the next shard is mostly of the same row group
def _read_group(path: Path, group: int, _time: int) -> pa.Table:
    file = _open(path)
    with _naming(path):
        return file.read_row_group(group)


def run_key(run: Path) -> str:
    r"""A digest of all that a trained run says of its links: model, data, calibration, index.

    Raises:
        FileNotFoundError: If it is no trained run.
    """
    if not (run / RUN).is_file():
        raise FileNotFoundError(f"'{run}' is no training run that is finished: '{RUN}' is missing")
    names = [RUN, 'recipe.yaml', 'calibration.json', 'model/config.json', 'model/model.safetensors',
             'index/index.json']
    return content_key([f'{name} {digest_file(run / name)}' for name in names if (run / name).is_file()])


def link_locally(job: BulkJob, make_linker: Callable[[], Linker], progress: Callable[[int], object]) -> None:
    r"""Does what is left of a job in this process.

    Args:
        job: The job.
        make_linker: Makes the linker.
        progress: Told of the mentions of each shard, also of those that were there.
    """
    with job.begin() as left:
        progress(sum(shard.rows for shard in job.shards) - sum(shard.rows for shard in left))
        if left:
            linker = make_linker()
            for shard in left:
                progress(job.run(linker, shard))
