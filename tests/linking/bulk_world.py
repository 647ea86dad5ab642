"""Mentions as parquet files, and jobs whose processes are killed while they work."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from drin_pyg.linking import Linker
from drin_pyg.linking.bulk_job import BulkJob


def write_mentions(linker, folder, number=50):
    """Two files, several row groups in the first: some mentions with candidates, others without."""
    mentions = linker.data.mentions[:number]
    table = pa.table({
        'id': [mention.id for mention in mentions],
        'sentence': [mention.sentence for mention in mentions],
        'mention': [mention.surface for mention in mentions],
        'candidates': [list(mention.candidates) if i % 3 else None for i, mention in enumerate(mentions)],
    })
    folder.mkdir()
    pq.write_table(table.slice(0, 31), folder / 'a.parquet', row_group_size=20)
    pq.write_table(table.slice(31), folder / 'b.parquet')
    return table


def read_links(folder):
    return ds.dataset(folder).to_table()


@dataclass(frozen=True)
class KilledJob(BulkJob):
    """A job whose processes die: once before a shard, once in the middle of one, once after its file was written and
    before anybody heard of it."""

    notes: Path = Path()

    def run(self, linker, shard):
        self.die('before', shard, 1)
        score = linker.score

        def score_and_die(*arguments):
            found = score(*arguments)
            self.die('amid', shard, 2)
            return found

        linker.score = score_and_die
        try:
            rows = super().run(linker, shard)
        finally:
            linker.score = score
        self.die('after', shard, 3)
        return rows

    def die(self, when, shard, number):
        """Once each: the note says that it happened."""
        if shard.number == number and not (self.notes / when).exists():
            (self.notes / when).write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Making:
    """Makes linkers and notes in which process."""

    run: Path
    notes: Path

    def __call__(self):
        (self.notes / f'linker-{os.getpid()}').touch()
        return Linker.from_pretrained(self.run)
