import hashlib
import os
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from drin_pyg.datasets.raw_files import read_array
from drin_pyg.files import SHA256, check_files, naming, own_file, read_record, write_record

FORMAT = 1
MANIFEST, PROGRESS = 'manifest.json', 'progress.json'
REMEDY = 'remove the folder and encode again'


class FeatureTable:
    r"""Rows of frozen features on disk: memory-mapped columns and a manifest of what they are.

    A folder with one ``.npy`` file a column (float32, ``[rows, width]``) and ``manifest.json``: the
    encoder's spec, the digest of the items, and which rows could not be encoded, with the reason.
    The manifest is written last, so a folder without one is a table under construction.

    Args:
        folder: The folder.
        key: Digest the table must have been made from; None to take any.

    Raises:
        FileNotFoundError: If there is no finished table.
        ValueError: If the table was made from something else, or a file is damaged, naming it.
    """

    def __init__(self, folder: str | Path, key: str | None = None):
        self.folder = Path(folder)
        if not (self.folder / MANIFEST).is_file():
            raise FileNotFoundError(f"'{self.folder}' holds no finished feature table: '{MANIFEST}' is missing")
        try:
            self.manifest: dict[str, Any] = read_record(self.folder / MANIFEST, FORMAT)
            self.num_rows: int = self.manifest['num_rows']
            self.failed = {int(row): reason for row, reason in self.manifest['failed'].items()}
            files = {name: own_file(self.folder, f'{name}.npy') for name in self.manifest['columns']}
        except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError) as error:
            raise ValueError(f"'{self.folder / MANIFEST}' cannot be read: {str(error)[:1000]}; {REMEDY}") from error
        if key is not None and self.manifest.get('key') != key:
            raise ValueError(f"'{self.folder}' was made from other items or by another encoder "
                             f"({self.manifest.get('spec')}); remove it, or name another folder")
        self.columns = {name: map_array(path) for name, path in files.items()}
        for name, column in self.columns.items():
            if column.dim() != 2 or column.dtype != torch.float32:
                raise ValueError(f"'{self.folder / name}.npy' is {column.dtype} {list(column.shape)}; {REMEDY}")
            if column.size(0) != self.num_rows:
                raise ValueError(f"'{self.folder / name}.npy' has {column.size(0)} rows instead of "
                                 f"{self.num_rows!r:.40}; {REMEDY}")
        check_files(self.folder, self.manifest, REMEDY)

    def __getitem__(self, column: str) -> Tensor:
        """A column, float32 ``[rows, width]``, mapped from disk."""
        return self.columns[column]


class FeatureTableWriter:
    r"""Writes a :class:`FeatureTable` batch by batch, and goes on where it was stopped.

    Rows are appended, and only then counted in ``progress.json``: whatever a killed process wrote
    beyond the count is cut off. Rows that are not those that were counted are written again from the start.

    Args:
        folder: The folder.
        key: Digest of the items and the encoder.
        spec: The encoder's spec.
        num_rows: Rows there will be.
    """

    def __init__(self, folder: Path, key: str, spec: dict[str, Any], num_rows: int):
        self.folder, self.key, self.spec, self.num_rows = folder, key, spec, num_rows
        self.done, self.failed, self.widths = 0, {}, {}
        self._files: dict[str, Any] = {}
        self._digests: dict[str, Any] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / PROGRESS).is_file():
            self._go_on()
        for name, width in self.widths.items():
            self._open(name, width)

    def _go_on(self) -> None:
        try:
            progress = read_record(self.folder / PROGRESS, signed=True)
            digests = {name: self._digest(name, width, progress['done']) for name, width in progress['widths'].items()}
            if progress['key'] != self.key or {n: d.hexdigest() for n, d in digests.items()} != progress[SHA256 + 's']:
                return  # a leftover of something else, or rows were damaged
        except (OSError, ValueError, KeyError):  # the encoder is asked again
            return
        self.done, self.failed, self.widths = progress['done'], progress['failed'], progress['widths']
        self._digests = digests

    def _digest(self, name: str, width: int, rows: int) -> Any:
        """Of a column's file up to that many rows."""
        digest, left = hashlib.sha256(), len(npy_header(self.num_rows, width)) + 4 * rows * width
        with open(self.folder / f'{name}.npy', 'rb') as file:
            while left and (piece := file.read(min(left, 2**20))):
                digest.update(piece)
                left -= len(piece)
        return digest

    def _open(self, name: str, width: int) -> None:
        path, header = self.folder / f'{name}.npy', npy_header(self.num_rows, width)
        file = self._files[name] = open(path, 'r+b' if self.done else 'w+b')  # noqa: SIM115
        if not self.done:
            file.write(header)
            self._digests[name] = hashlib.sha256(header)
        file.truncate(len(header) + 4 * self.done * width)
        file.seek(0, os.SEEK_END)

    def append(self, columns: dict[str, Tensor], failed: dict[int, str]) -> None:
        """Appends rows ``[B, width]`` of each column; ``failed`` are those that mean nothing, with reasons."""
        if not self.widths:
            self.widths = {name: rows.size(1) for name, rows in columns.items()}
            for name, width in self.widths.items():
                self._open(name, width)
        columns = {name: rows.contiguous().numpy() for name, rows in columns.items()}
        for name, rows in columns.items():
            with naming(self._files[name].name):
                self._files[name].write(rows.data)
        for name, rows in columns.items():
            self._digests[name].update(rows.data)
        self.failed |= {str(self.done + i): reason for i, reason in failed.items()}
        self.done += len(next(iter(columns.values())))

    def save_progress(self) -> None:
        """Makes what was appended so far survive a kill."""
        self._save_progress(self._files)

    def _save_progress(self, files: dict[str, Any]) -> None:
        for file in files.values():
            with naming(file.name):
                file.flush()
                os.fsync(file.fileno())
        write_record(self.folder / PROGRESS, {
            'key': self.key, 'done': self.done, 'failed': self.failed, 'widths': self.widths,
            SHA256 + 's': {name: digest.hexdigest() for name, digest in self._digests.items()}})

    def finish(self) -> FeatureTable:
        """Writes the manifest and opens the table."""
        self.close()
        files = {f'{name}.npy': {'bytes': (self.folder / f'{name}.npy').stat().st_size, SHA256: digest.hexdigest()}
                 for name, digest in self._digests.items()}
        write_record(self.folder / MANIFEST, {
            'format': FORMAT, 'key': self.key, 'spec': self.spec, 'num_rows': self.num_rows, 'dtype': 'float32',
            'columns': list(self.widths), 'failed': self.failed, 'files': files})
        (self.folder / PROGRESS).unlink(missing_ok=True)
        return FeatureTable(self.folder, self.key)

    def close(self) -> None:
        """Saves the progress of an unfinished table and closes the files."""
        files, self._files = self._files, {}
        with ExitStack() as stack:
            for file in files.values():
                stack.enter_context(file)
            if files:
                self._save_progress(files)


def npy_header(num_rows: int, width: int) -> bytes:
    r"""What stands before the numbers of a float32 ``.npy`` file ``[num_rows, width]``, to write it piece by piece."""
    file = BytesIO()
    np.lib.format.write_array_header_1_0(file, {'descr': '<f4', 'fortran_order': False, 'shape': (num_rows, width)})
    return file.getvalue()


def map_array(path: Path) -> Tensor:
    r"""A ``.npy`` file as a tensor that is read from disk as it is needed.

    The mapping is private: writing to the tensor changes memory, never the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no readable array, naming it.
    """
    array = read_array(path, 'c')
    try:
        return torch.from_numpy(array)
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{path}' is no array of numbers: {error}") from error
