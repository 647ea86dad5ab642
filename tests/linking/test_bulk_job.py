import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drin_pyg.files import temporary_name
from drin_pyg.linking import EntityIndex, Linker
from drin_pyg.linking.bulk_job import BulkJob, link_locally, run_key
from drin_pyg.linking.link_table import link_table
from drin_pyg.linking.linker import INDEX
from drin_pyg.linking.ray_engine import check_index, link_on_ray
from tests.linking.bulk_world import read_links, write_mentions

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def indexed(run_folder, tmp_path_factory):
    """A run with an index, which processes share."""
    folder = tmp_path_factory.mktemp('indexed') / 'run'
    shutil.copytree(run_folder, folder)
    linker = Linker.from_pretrained(folder)
    EntityIndex.build(linker.model, linker._entities, [entity.id for entity in linker.data.entities],
                      folder=folder / INDEX)
    return folder


@pytest.fixture(scope='module')
def linker(indexed):
    return Linker.from_pretrained(indexed)


@pytest.fixture(scope='module')
def source(linker, tmp_path_factory):
    folder = tmp_path_factory.mktemp('source') / 'mentions'
    return folder, write_mentions(linker, folder)


@pytest.fixture
def job(source, indexed, tmp_path):
    return BulkJob(source[0], tmp_path / 'links', run_key(indexed), shard=8)


def enter(job):
    with job.begin() as left:
        return left


def same_links(one, other):
    """Float sums follow the shapes of batches, so scores may differ in their last bits."""
    assert one.schema == other.schema
    for row, twin in zip(one.to_pylist(), other.to_pylist(), strict=True):
        assert (row['id'], row['nil'], row['error']) == (twin['id'], twin['nil'], twin['error'])
        assert [c['id'] for c in row['candidates']] == [c['id'] for c in twin['candidates']]
        assert [c['score'] for c in row['candidates']] == pytest.approx([c['score'] for c in twin['candidates']],
                                                                        abs=1e-5)
    return True


def test_shards_divide_the_input(job, source):
    shards = job.shards
    assert [shard.stop - shard.start for shard in shards] == [8, 8, 4, 8, 3, 8, 8, 3]
    assert [shard.first for shard in shards] == [1, 9, 17, 21, 29, 32, 40, 48]
    assert [shard.number for shard in shards] == list(range(8))
    assert replace(job, shard=1000).shards[-1].first == 32


def test_links_are_those_of_the_whole_table(job, source, linker):
    told = []
    link_locally(job, lambda: linker, told.append)
    assert told == [0, 8, 8, 4, 8, 3, 8, 8, 3]
    assert job.finish() == (50, 0)
    assert same_links(read_links(job.out), link_table(linker, source[1]))
    finished = json.loads((job.out / '_finished.json').read_text())
    assert finished['rows'] == 50
    assert [file['rows'] for file in finished['files']] == told[1:]
    assert {file['name'] for file in finished['files']} == {path.name for path in job.out.glob('*.parquet')}


def test_a_job_goes_on_with_what_is_missing(job, linker):
    link_locally(job, lambda: linker, lambda rows: None)
    before = {path: path.read_bytes() for path in job.out.glob('*.parquet')}
    missing, cut, flipped = (job.out / f'part-000000{number}.parquet' for number in (2, 5, 6))
    missing.unlink()
    cut.write_bytes(before[cut][:-20])
    flipped.write_bytes(before[flipped][:40] + bytes([before[flipped][40] ^ 1]) + before[flipped][41:])
    with pytest.raises(FileNotFoundError, match=r'part-0000002.parquet. is missing or damaged; run the job again'):
        job.finish()
    temporary_name(missing).touch()  # of a process that was killed
    with job.begin() as left:
        assert [shard.number for shard in left] == [2, 5, 6]
        with pytest.raises(BlockingIOError, match='Another process is writing to'):
            link_locally(job, lambda: linker, lambda rows: None)
    assert {path.name[0] for path in job.out.iterdir()} == {'p', '_'}
    times = {path: path.stat().st_mtime_ns for path in before if path not in (missing, cut, flipped)}
    told = []
    link_locally(job, lambda: linker, told.append)
    assert told == [50 - 4 - 8 - 8, 4, 8, 8]
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert {path: path.read_bytes() for path in before} == before  # the same bytes again
    assert job.finish() == (50, 0)
    told.clear()
    link_locally(job, None, told.append)  # nothing left: no linker is made
    assert told == [50]


def test_what_was_linked_is_what_is_there_now(job, linker, source, tmp_path):
    table = source[1].slice(0, 5)
    path = tmp_path / 'mentions.parquet'
    for number, part in enumerate((table, table.set_column(0, 'id', [[f'new {i}' for i in range(5)]]))):
        pq.write_table(part, path)
        again = replace(job, source=path, out=tmp_path / str(number), shard=2)
        link_locally(again, lambda: linker, lambda rows: None)
        assert read_links(again.out)['id'].to_pylist() == part['id'].to_pylist()


def test_a_job_that_goes_on_is_not_finished(job, linker):
    link_locally(job, lambda: linker, lambda rows: None)
    job.finish()
    next(job.out.glob('*.parquet')).unlink()
    with job.begin() as left:
        assert len(left) == 1
        assert not (job.out / '_finished.json').exists()


def test_killed_before_it_said_what_it_is(job):
    job.out.mkdir()
    temporary_name(job.out / '_job.json').touch()
    assert len(enter(job)) == 8
    assert {path.name for path in job.out.iterdir()} == {'_job.json'}


def test_links_are_not_written_into_what_is_linked(job):
    for out in (job.source, job.source / 'links'):
        with pytest.raises(ValueError, match='inside of what is linked'):
            replace(job, out=out)


def test_a_run_that_is_none_has_no_key(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is no training run that is finished: 'run.json' is missing"):
        run_key(tmp_path)


def test_a_folder_of_something_else_is_left_alone(job, linker, tmp_path):
    enter(job)
    for other, what in ((replace(job, k=3), 'k'), (replace(job, key='x'), 'run'), (replace(job, shard=9), 'shard'),
                        (replace(job, source=job.source / 'a.parquet'), 'input')):
        with pytest.raises(FileExistsError, match=rf'holds the links of another job \(another {what}\); name another'):
            enter(other)
    assert enter(replace(job, on_error='yield'))  # what was done is the same
    (tmp_path / 'letters').mkdir()
    (tmp_path / 'letters' / 'dear.txt').touch()
    for out in (tmp_path / 'letters', tmp_path / 'letters' / 'dear.txt'):
        with pytest.raises(FileExistsError, match='is there, and no folder of links; name another folder'):
            enter(replace(job, out=out))
    (job.out / '_job.json').write_text('{')
    with pytest.raises(ValueError, match=r"_job.json' cannot be read"):
        enter(job)


def test_what_cannot_be_linked(job, linker, source, tmp_path):
    table = source[1].to_pylist()
    table[10]['mention'] = ''
    path = tmp_path / 'mentions.parquet'
    pq.write_table(pa.Table.from_pylist(table), path)
    job = replace(job, source=path)
    with pytest.raises(ValueError, match=r"mentions.parquet' cannot be linked: Record 11: The mention is empty"):
        link_locally(job, lambda: linker, lambda rows: None)
    assert [file.name for file in job.out.glob('*.parquet')] == ['part-0000000.parquet']
    lenient = replace(job, on_error='yield')
    link_locally(lenient, lambda: linker, lambda rows: None)
    assert lenient.finish() == (49, 1)
    rows = read_links(job.out).to_pylist()
    assert [row['error'] for row in rows] == [*[None] * 10, 'The mention is empty; there is nothing to link',
                                              *[None] * 39]
    with pytest.raises(ValueError, match='has 1 mentions that an earlier start could not link'):
        job.finish()


def test_input_that_is_none(job, tmp_path):
    (tmp_path / 'empty').mkdir()
    for place in (tmp_path / 'nowhere.parquet', tmp_path / 'empty'):
        with pytest.raises(FileNotFoundError, match='is no parquet file and no folder of some'):
            enter(replace(job, source=place))
    broken = tmp_path / 'broken.parquet'
    broken.write_text('PAR1')
    with pytest.raises(ValueError, match=r"broken.parquet' is no readable parquet file"):
        enter(replace(job, source=broken))
    for changes in ({'k': 0}, {'shard': 0}):
        with pytest.raises(ValueError, match='must be at least 1, got 0'):
            replace(job, **changes)
    with pytest.raises(ValueError, match="'on_error' must be 'raise' or 'yield'"):
        replace(job, on_error='ignore')


def test_actors_need_an_index_to_share(run_folder, indexed):
    check_index(indexed)
    with pytest.raises(FileNotFoundError, match='make it with `drin-pyg index'):
        check_index(run_folder)
    assert run_key(run_folder) != run_key(indexed)


def test_a_missing_ray_is_named(job, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(ImportError, match=r"install it with `pip install 'drin_pyg\[ray\]'`"):
        link_on_ray(job, None, None)


class HereAndNow:
    """As much of Ray as the engine asks for, in this process: shards one after another, and notes of what was asked."""

    def __init__(self, monkeypatch, initialized=False):
        self.asked, self.initialized = [], initialized
        self.context = SimpleNamespace(enable_progress_bars=True)
        self.data = ModuleType('ray.data')
        self.data.DataContext = SimpleNamespace(get_current=lambda: self.context)
        self.data.ActorPoolStrategy = lambda size: self.asked.append(('actors', size))
        self.data.from_items = self.from_items
        monkeypatch.setitem(sys.modules, 'ray', self)
        monkeypatch.setitem(sys.modules, 'ray.data', self.data)

    def is_initialized(self):
        return self.initialized

    def init(self, **options):
        self.asked.append(('init', options.get('num_cpus')))

    def shutdown(self):
        self.asked.append(('shutdown', ))

    def cluster_resources(self):
        return {'CPU': 3.0}

    def from_items(self, items, override_num_blocks):
        assert override_num_blocks == len(items)  # or Ray would have one actor do several shards in a row
        return SimpleNamespace(map_batches=lambda actor, **options: self.map_batches(actor, items, **options))

    def map_batches(self, actor, items, fn_constructor_args, batch_size, **_):
        assert batch_size == 1
        worker = actor(*fn_constructor_args)

        def rows():
            for item in items:
                assert not self.context.enable_progress_bars
                batch = worker({name: np.array([value]) for name, value in item.items()})
                yield {name: values[0] for name, values in batch.items()}

        return SimpleNamespace(iter_rows=rows)


@pytest.fixture
def no_address(monkeypatch):
    monkeypatch.setenv('RAY_USAGE_STATS_ENABLED', '0')  # or the engine would set it for the whole process
    monkeypatch.delenv('RAY_ADDRESS', raising=False)


@pytest.mark.parametrize(('place', 'workers', 'asked'), [
    ('own', 2, [('init', 3), ('actors', 2), ('shutdown', )]),
    ('own', None, [('init', (os.cpu_count() or 1) + 1), ('actors', min(os.cpu_count() or 1, 8)), ('shutdown', )]),
    ('address', 20, [('init', None), ('actors', 8), ('shutdown', )]),  # never more than shards
    ('address', None, [('init', None), ('actors', 3), ('shutdown', )]),
    ('there', 2, [('actors', 2)]),  # it is not ours to end
])
def test_a_ray_that_is_there_is_used(job, source, linker, monkeypatch, no_address, place, workers, asked):
    if place == 'address':
        monkeypatch.setenv('RAY_ADDRESS', 'elsewhere:6379')
    ray, told = HereAndNow(monkeypatch, place == 'there'), []
    link_on_ray(job, lambda: linker, told.append, workers)
    assert ray.asked == asked
    assert told == [0, 8, 8, 4, 8, 3, 8, 8, 3]
    assert job.finish() == (50, 0)
    assert same_links(read_links(job.out), link_table(linker, source[1]))
    link_on_ray(job, None, told.append, workers)  # nothing left: no Ray is asked for
    assert told[9:] == [50]
    assert ray.asked == asked


def test_an_actor_says_what_cannot_be_linked(job, linker, source, monkeypatch, no_address, tmp_path):
    table = source[1].to_pylist()
    table[10]['mention'] = ''
    path = tmp_path / 'mentions.parquet'
    pq.write_table(pa.Table.from_pylist(table), path)
    job = replace(job, source=path)
    ray, told, log = HereAndNow(monkeypatch), [], logging.getLogger('ray.data')
    level = log.level
    with pytest.raises(ValueError, match=r"mentions.parquet' cannot be linked: Record 11: The mention is empty"):
        link_on_ray(job, lambda: linker, told.append, 1)
    assert told == [0, 8]
    assert [file.name for file in job.out.glob('*.parquet')] == ['part-0000000.parquet']  # what is done stays
    assert ray.asked[-1] == ('shutdown', )
    assert (ray.context.enable_progress_bars, log.level) == (True, level)


def test_killed_actors_lose_nothing_and_double_nothing(job, source, indexed, linker, tmp_path):
    notes = tmp_path / 'notes'
    notes.mkdir()
    result = subprocess.run(
        [sys.executable, '-W', 'ignore', '-m', 'tests.linking.link_on_ray', indexed, source[0], tmp_path / 'ray',
         notes],
        capture_output=True, text=True, timeout=900, cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore'})
    assert result.returncode == 0, result.stderr
    assert 'told 50 finished 50 0' in result.stdout
    # Each of the three deaths happened, in another process each, and as many were started again.
    died = {(notes / when).read_text() for when in ('before', 'amid', 'after')}
    assert len(died) == 3
    made = {path.name.removeprefix('linker-') for path in notes.glob('linker-*')}
    assert died < made
    assert len(made) >= 4
    link_locally(job, lambda: linker, lambda rows: None)
    locally = read_links(job.out)
    assert same_links(read_links(tmp_path / 'ray' / 'killed'), locally)
    assert locally['id'].to_pylist() == source[1]['id'].to_pylist()
    assert '50 mentions linked, 0 could not be' in result.stdout
    assert same_links(read_links(tmp_path / 'ray' / 'command'), locally)
