import hashlib
import json
import mmap
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from drin_pyg.datasets.knowledge_base import KnowledgeBase
from drin_pyg.datasets.raw_files import check, located
from drin_pyg.datasets.records import Entity


class EntityLines(KnowledgeBase):
    r"""A knowledge base that stays on disk: one JSON line an entity, read when it is asked for.

    Memory holds 24 bytes an entity: where its line starts, and a hash of its id to find it by. The
    file is memory-mapped and may be read by several processes at once.

    Args:
        path: The file.
        parse: Makes an entity of a line's JSON object.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is no JSON object or makes no entity, naming the line.
    """

    def __init__(self, path: Path, parse: Callable[[dict], Entity]):
        self.path = Path(path)
        self.parse = parse
        starts, hashes = array('q'), array('q')  # 8 bytes each; a list of ints would take 40
        with open(self.path, 'rb') as file:
            start = 0
            for number, line in enumerate(file, 1):
                if line.strip():
                    starts.append(start)
                    hashes.append(_hash(self._read(line, number).id))
                start += len(line)
        start, digest = np.frombuffer(starts, np.int64), np.frombuffer(hashes, np.int64)
        # Two stable orders: equal hashes stand together, in the order of their lines.
        order = np.argsort(digest, kind='stable')
        suspect = np.flatnonzero(digest[order][1:] == digest[order][:-1])
        self._start = start
        dropped = self._duplicates(order, digest, suspect)
        self._num_duplicates = dropped.size
        self._start = np.delete(start, dropped)
        digest = np.delete(digest, dropped)
        self._order = np.argsort(digest, kind='stable')
        self._digest = digest[self._order]
        self._map: mmap.mmap | None = None

    def _duplicates(self, order: np.ndarray, digest: np.ndarray, suspect: np.ndarray) -> np.ndarray:
        """Lines whose id is that of an earlier line; ``suspect``: places in the order with their neighbour's hash."""
        if not suspect.size:
            return np.empty(0, dtype=np.int64)
        members = np.unique(np.concatenate([order[suspect], order[suspect + 1]]))
        seen, dropped = set(), []
        with open(self.path, 'rb') as file:
            for row in members.tolist():
                file.seek(self._start[row])
                name = self._read(file.readline(), None).id
                if name in seen:
                    dropped.append(row)
                seen.add(name)
        return np.array(dropped, dtype=np.int64)

    def _read(self, line: bytes, number: int | None) -> Entity:
        with located(self.path, f'line {number}' if number else ''):
            return self.parse(check(json.loads(line), dict, 'a line'))

    def __len__(self) -> int:
        return self._start.size

    def __getitem__(self, row):
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(f"Row {row} of {len(self)} entities")
        if self._map is None:
            with open(self.path, 'rb') as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        start = int(self._start[row])
        end = self._map.find(b'\n', start)
        return self._read(self._map[start:end if end >= 0 else None], None)

    def __iter__(self) -> Iterator[Entity]:
        return (self[row] for row in range(len(self)))

    def __getstate__(self) -> dict:
        return {**self.__dict__, '_map': None}  # a worker process maps the file itself

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        wanted = np.fromiter(map(_hash, ids), np.int64, len(ids))
        place = np.searchsorted(self._digest, wanted)
        rows = np.full(len(ids), -1, dtype=np.int64)
        for i, (first, digest) in enumerate(zip(place.tolist(), wanted.tolist(), strict=True)):
            while first < self._digest.size and self._digest[first] == digest:  # more than once if hashes collide
                if self[int(self._order[first])].id == ids[i]:
                    rows[i] = self._order[first]
                    break
                first += 1
        return rows

    @property
    def num_duplicates(self) -> int:
        return self._num_duplicates


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=8).digest(), signed=True)
