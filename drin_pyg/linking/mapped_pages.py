r"""Mapped files that may be larger than memory: what was read is given back to the system before it adds up."""

import ctypes
import mmap
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

MAPS, STATM = Path('/proc/self/maps'), Path('/proc/self/statm')


class MappedPages:
    r"""Pages of mapped files that this process holds, kept below a limit.

    A page of a mapped file counts as resident from its first reading until the system needs it for something else,
    which a knowledge base read here and there makes grow to its whole size. Given back, pages stay in the system's
    file cache as long as there is room, and are read again from there or from disk.

    Args:
        tensors: Tensors in mapped files, which nobody writes to; those in memory are left alone, as what is given back
            there would be lost.
        limit: Bytes that may be read between two times of giving back.

    Raises:
        OSError: If the system is not Linux, whose figures this goes by.
        ValueError: If ``limit`` is not positive.
    """

    def __init__(self, tensors: Iterable[Tensor], limit: int):
        if limit < 1:
            raise ValueError(f"The limit of resident bytes must be at least 1, got {limit}")
        if not (MAPS.is_file() and STATM.is_file() and hasattr(mmap, 'MADV_DONTNEED')):
            raise OSError('Resident bytes of an index can be limited on Linux only; load it without a limit')
        self.limit = limit
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._held = [x.untyped_storage() for x in tensors]  # what is mapped at these places stays mapped there
        storages = {storage.data_ptr(): storage.nbytes() for storage in self._held}
        mapped = list(_file_mappings())
        self.ranges = [(max(start, begin), min(stop, begin + size)) for begin, size in storages.items()
                       for start, stop in mapped if start < begin + size and begin < stop]
        self._before = _resident_file_pages()

    def keep(self) -> None:
        r"""Gives all pages back if more than the limit became resident since the last time."""
        now = _resident_file_pages()
        self._before = min(self._before, now)  # something else was given back since: it must not hide what came
        if (now - self._before) * mmap.PAGESIZE > self.limit:
            self.give_back()

    def give_back(self) -> None:
        r"""Gives all pages back; the tensors keep their values, as these are in the file."""
        for start, stop in self.ranges:
            start, stop = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, stop // mmap.PAGESIZE * mmap.PAGESIZE
            if start < stop and self._libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start),
                                                   mmap.MADV_DONTNEED):
                raise OSError(ctypes.get_errno(), 'Mapped pages could not be given back')
        self._before = _resident_file_pages()


def _file_mappings() -> Iterable[tuple[int, int]]:
    """Begin and end of what this process maps from files."""
    for line in MAPS.read_text().splitlines():
        place, _, _, _, inode, *_ = line.split(maxsplit=5)
        if inode != '0':
            start, stop = place.split('-')
            yield int(start, 16), int(stop, 16)


def _resident_file_pages() -> int:
    return int(STATM.read_text().split()[2])
