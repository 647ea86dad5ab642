r"""What is linked in bulk, and what that writes, as formats of the fuzzer: JSON lines, parquet, links under way."""

import json
import shutil
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import torch

from drin_pyg.features import encode_folder, load_tables
from drin_pyg.linking import Linker, LinkError
from drin_pyg.linking.bulk_job import BulkJob, link_locally
from drin_pyg.linking.link_table import MENTIONS
from drin_pyg.nn import DRIN
from tests.datasets import layouts

LINES = [{'sentence': 'From Paris to Lyon.', 'mention': 'Paris', 'start': 5, 'end': 10, 'id': 'a'},
         {'sentence': 'A lake at dawn', 'mention': 'lake', 'candidates': ['Q1', 'Q2'], 'captions': ['a boat']},
         {'sentence': 'The tower', 'mention': 'tower', 'images': ['picture.png'], 'candidates': ['Q3', 'Q1']}]


def write_world(folder: Path) -> None:
    r"""A handful of entities, and a picture of a mention."""
    source = folder / 'linked' / 'source'
    source.mkdir(parents=True)
    layouts.write_own(source)
    encode_folder(source, folder / 'linked' / 'tables')
    layouts.draw(folder, 'picture.png')


@lru_cache
def linker(folder: Path) -> Linker:
    r"""A linker over them, untrained."""
    data = load_tables(folder / 'linked' / 'tables')
    torch.manual_seed(0)
    return Linker(DRIN({t: x.size(1) for t, x in data.tables.x.items()}, 8), data)


def write_lines(folder: Path) -> None:
    r"""Mentions as lines."""
    write_world(folder)
    layouts.write_lines(folder / 'lines.jsonl', *LINES)


def read_lines(folder: Path) -> None:
    with open(folder / 'lines.jsonl', 'rb') as lines:
        for link in linker(folder).link_many((line for line in lines if line.strip()), on_error='yield', folder=folder):
            record = json.loads(json.dumps(link.to_dict()))
            if isinstance(link, LinkError):
                assert len(record['error']) < 5000, 'an error is long'
            else:
                assert all(candidate.score == candidate.score for candidate in link.candidates), 'a score is NaN'


def write_mentions(folder: Path) -> None:
    r"""The same mentions as a table in row groups of two, with and without what guards a page."""
    write_world(folder)
    table = pa.Table.from_pylist(LINES, MENTIONS)
    pq.write_table(table, folder / 'plain.parquet', row_group_size=2, compression='none', use_dictionary=False)
    pq.write_table(table, folder / 'small.parquet', row_group_size=2, compression='zstd', write_page_checksum=True)


def read_mentions(folder: Path) -> None:
    for source in sorted(folder.glob('*.parquet')):
        shutil.rmtree(out := folder / 'out', ignore_errors=True)
        _link(folder, BulkJob(source, out, 'key', k=2, shard=2, on_error='yield'))


def _link(folder: Path, job: BulkJob) -> None:
    link_locally(job, lambda: linker(folder), lambda number: None)
    linked, errors = job.finish()
    links = ds.dataset(job.out).to_table()
    assert links.num_rows == linked + errors
    for row in links.to_pylist():
        assert (row['error'] is None) == (row['candidates'] is not None)
        assert len(row['error'] or '') < 5000, 'an error is long'
        assert all(candidate['score'] == candidate['score'] for candidate in row['candidates'] or ()), 'a score is NaN'


def write_links(folder: Path) -> None:
    r"""A job that was linked in part."""
    write_mentions(folder)
    job = _job(folder)
    with job.begin() as (first, _):
        job.run(linker(folder), first)


def read_links(folder: Path) -> None:
    _link(folder, _job(folder))
    ids = ds.dataset(folder / 'links').to_table()['id'].to_pylist()
    assert ids == ['a', '2', '3'], 'a mention is lost or there twice'


def _job(folder: Path) -> BulkJob:
    return BulkJob(folder / 'small.parquet', folder / 'links', 'key', k=2, shard=2)
