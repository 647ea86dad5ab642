"""Full disks, damaged files, killed processes, and two processes at once: nothing is lost, and what failed is named.

The kills and the damages are those of `benchmarks/kill_runs.py` and `benchmarks/damage_files.py`, fewer of them.
"""

import gc
import json
import multiprocessing
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from drin_pyg.features import check_tables, encode_folder, load_tables
from drin_pyg.features.feature_table import FeatureTableWriter
from drin_pyg.features.side_tables import side_tables
from drin_pyg.features.tables_folder import save_tables
from drin_pyg.linking import EntityIndex
from drin_pyg.nn import DRIN
from drin_pyg.training import Recipe, load_run, train_run
from tests.benchmarks import scripts

ROOT = Path(__file__).parents[1]
RECIPE = Recipe(model={'hidden_channels': 8}, max_epochs=2)


def on_a_full_disk(size, job, *arguments):
    """What the system says in a process whose files cannot grow beyond so many bytes, as where the disk is full."""
    context = multiprocessing.get_context('spawn')  # a forked one may not train, if this one did something before
    ours, theirs = context.Pipe()
    process = context.Process(target=_on_a_full_disk, args=(theirs, size, job, arguments))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        return None
    finally:
        process.join()


def _on_a_full_disk(pipe, size, job, arguments):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        job(*arguments)
    except OSError as error:
        pipe.send(str(error))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """A little data set, its tables and a run."""
    from tests.benchmarks.scripts import FOLDER

    assert str(FOLDER) in sys.path
    from kill_runs import make_source

    root = tmp_path_factory.mktemp('faults')
    make_source(root / 'source', 90)
    encode_folder(root / 'source', root / 'tables', 'text')
    train_run(load_tables(root / 'tables'), root / 'tables', RECIPE, root / 'run', progress=False, accelerator='cpu')
    return root


def script(name, tmp_path, *options):
    """What a benchmark found; its own exit code says whether all of it was as it should be."""
    out = tmp_path / 'out.jsonl'
    done = subprocess.run([sys.executable, '-W', 'ignore', scripts.FOLDER / f'{name}.py', *options, '--json', out],
                          cwd=ROOT, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_killed_and_started_again_all_ends_the_same(tmp_path):
    found = script('kill_runs', tmp_path, '--places', '3', '--moments', '1')
    assert [line['kind'] for line in found] == ['train', 'encode', 'index', 'study']
    for line in found:
        assert line['killed_at_places'] >= 2
        assert line['equal'] == line['killed_at_places'] + line['killed_at_moments']


def test_damaged_files_are_named(tmp_path):
    found = script('damage_files', tmp_path, '--flips', '2', '--cuts', '2')
    assert [line['folder'] for line in found] == ['tables', 'run', 'index', 'rows', 'study']
    assert all(line['named'] > line['files'] for line in found)


def encode(world, out):
    encode_folder(world / 'source', out, 'text')


def train(world, out):
    train_run(load_tables(world / 'tables'), world / 'tables', RECIPE, out, progress=False, accelerator='cpu')


def index(world, out):
    _, model, data = load_run(world / 'run')
    EntityIndex.build(model, side_tables(data.tables)[1], folder=out)


@pytest.mark.parametrize('job', [encode, train, index])
def test_a_full_disk_is_named_and_costs_nothing_once_there_is_room(world, tmp_path, job):
    out = tmp_path / 'out'
    assert str(out) in on_a_full_disk(6000, job, world, out)
    assert not [path for path in out.rglob('*') if path.name.endswith(('.tmp', '.lock'))]
    assert not {'tables.json', 'run.json', 'index.json'} & {path.name for path in out.iterdir()}
    job(world, out)
    whole = {encode: world / 'tables', train: world / 'run'}.get(job)
    if whole is None:
        assert len(EntityIndex.load(out)) == len(load_tables(world / 'tables').entities)
    else:
        names = [name for name in contents(whole) if name.endswith(('.npy', '.safetensors', '.csv', '.yaml'))]
        assert len(names) > 2
        assert {name: contents(out)[name] for name in names} == {name: contents(whole)[name] for name in names}


def test_a_full_disk_leaves_what_was_there(world, tmp_path):
    shutil.copytree(world / 'run', tmp_path / 'run')
    before = contents(tmp_path / 'run')
    model = DRIN.from_pretrained(tmp_path / 'run' / 'model')
    torch.nn.init.zeros_(next(model.parameters()))
    assert 'model.safetensors' in on_a_full_disk(1000, model.save_pretrained, tmp_path / 'run' / 'model')
    assert contents(tmp_path / 'run') == before


@pytest.mark.parametrize('job', [encode, train, index])
def test_a_file_in_place_of_the_folder_is_named(world, tmp_path, job):
    (tmp_path / 'out').write_text('mine')
    with pytest.raises((OSError, ValueError), match='out'):
        job(world, tmp_path / 'out')
    assert (tmp_path / 'out').read_text() == 'mine'


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 KiB."""
    (tmp_path / 'disk').mkdir()
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', tmp_path / 'disk'], check=False,
                             capture_output=True) if shutil.which('mount') else None
    if mounted is None or mounted.returncode:
        pytest.skip('to mount a small disk needs a privilege that this user does not have')
    yield tmp_path / 'disk'
    gc.collect()  # a file that an exception holds would keep the disk busy
    subprocess.run(['umount', tmp_path / 'disk'], check=True)


@pytest.mark.parametrize('job', [encode, train, index])
def test_a_small_disk(world, small_disk, job):
    (small_disk / 'mine').write_bytes(bytes(60_000))  # what is left holds no tables, checkpoint or index
    with pytest.raises(OSError, match=r'No space left on device: .*/disk/out'):
        job(world, small_disk / 'out')
    assert (small_disk / 'mine').read_bytes() == bytes(60_000)


@pytest.mark.parametrize('job', [encode, train, index])
def test_a_disk_that_cannot_be_written(world, small_disk, job):
    subprocess.run(['mount', '-o', 'remount,ro', small_disk], check=True)
    with pytest.raises(OSError, match=r'Read-only file system: .*/disk/out'):
        job(world, small_disk / 'out')


TOGETHER = """
import multiprocessing, sys
import torch
from pathlib import Path
from tests import test_faults
import kill_runs

torch.set_num_threads(1)
context = multiprocessing.get_context('fork')
sys.modules['drin_pyg.experiments.ablate'].get_context = lambda _: context
root, out = map(Path, sys.argv[1:])
jobs = {name: getattr(test_faults, name) for name in ('encode', 'train', 'index')}
jobs['study'] = lambda root, out: kill_runs.study(root / 'tables', out)
for name, job in jobs.items():
    barrier, said = context.Barrier(2), context.SimpleQueue()

    def work():
        barrier.wait()
        try:
            job(root, out / name)
            said.put('')
        except OSError as error:
            said.put(str(error))

    both = [context.Process(target=work) for _ in range(2)]
    [process.start() for process in both]
    [process.join(200) for process in both]
    print(name, *sorted([said.get(), said.get()]), sep='|')
"""


def test_two_processes_at_once(world, tmp_path):
    """Encoding and runs of a study wait and are then found; training and an index are refused to the second."""
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', TOGETHER, world, tmp_path], capture_output=True,
                          text=True, timeout=1500, cwd=ROOT, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert done.returncode == 0, done.stderr
    said = {name: (first, second) for name, first, second in (line.split('|') for line in done.stdout.splitlines())}
    assert said['encode'] == said['study'] == ('', '')
    for name in ('train', 'index'):
        assert said[name][0] == ''
        assert re.search('Another process is writing to|already holds a training run|holds an index', said[name][1])
    assert len(EntityIndex.load(tmp_path / 'index')) == len(load_tables(world / 'tables').entities)
    assert len(list((tmp_path / 'study').glob('runs/*/*/result.json'))) == 2
    for name, whole in (('encode', 'tables'), ('train', 'run')):
        assert contents(tmp_path / name).keys() == contents(world / whole).keys()
        for file in ('entity.text.npy', 'model/model.safetensors'):
            assert contents(tmp_path / name).get(file) == contents(world / whole).get(file)
    assert not [path for path in tmp_path.rglob('*') if path.name.endswith(('.tmp', '.lock'))]


def test_rows_under_way_that_were_damaged_are_made_again(tmp_path):
    def write(rows):
        writer = FeatureTableWriter(tmp_path, 'key', {}, 4)
        before = writer.done
        for row in range(before, rows):
            writer.append({'x': torch.full((1, 3), float(row))}, {})
        if rows == 4:
            return before, writer.finish()
        writer.close()
        return before, None

    write(2)
    assert write(3) == (2, None)
    with open(tmp_path / 'x.npy', 'r+b') as file:
        file.seek(-2, 2)
        file.write(b'\x7f')
    before, table = write(4)
    assert before == 0
    assert table['x'][:, 0].tolist() == [0, 1, 2, 3]
    write(2)


def test_an_index_that_another_process_changed_is_not_written_over(world, tmp_path):
    index(world, tmp_path / 'index')
    first, second = EntityIndex.load(tmp_path / 'index'), EntityIndex.load(tmp_path / 'index')
    first.remove(['0'])
    first.save(tmp_path / 'index')
    second.remove(['1'])
    with pytest.raises(ValueError, match='was changed since it was loaded'):
        second.save(tmp_path / 'index')
    assert EntityIndex.load(tmp_path / 'index').numbers(['0', '1']).tolist() == [-1, 1]


def test_a_run_that_was_begun_otherwise_is_not_gone_on_with(world, tmp_path):
    data = load_tables(world / 'tables')
    options = {'progress': False, 'accelerator': 'cpu'}
    shutil.copytree(world / 'run', tmp_path / 'run')
    with pytest.raises(FileExistsError, match='already holds a training run, which is finished'):
        train_run(data, world / 'tables', RECIPE, tmp_path / 'run', **options)
    (tmp_path / 'run' / 'run.json').unlink()
    with pytest.raises(FileNotFoundError, match='a training run that is not finished'):
        load_run(tmp_path / 'run')
    before = contents(tmp_path / 'run')
    with pytest.raises(ValueError, match=r"other settings: 'recipe\.lr' was 0\.0002 and is 0\.1; name another folder"):
        train_run(data, world / 'tables', RECIPE.changed({'lr': 0.1}), tmp_path / 'run', **options)
    with pytest.raises(ValueError, match="'seed' was 0 and is 1"):
        train_run(data, world / 'tables', RECIPE, tmp_path / 'run', seed=1, **options)
    assert contents(tmp_path / 'run') == before
    train_run(data, world / 'tables', RECIPE, tmp_path / 'run', **options)
    assert contents(tmp_path / 'run') == contents(world / 'run')
    fewer = RECIPE.changed({'max_epochs': RECIPE.max_epochs - 1})
    with pytest.raises(ValueError, match=f'of {RECIPE.max_epochs} epochs, which cannot go on to {fewer.max_epochs};'):
        train_run(data, world / 'tables', fewer, tmp_path / 'run', resume=True, **options)
    both = fewer.changed({'lr': 0.1})
    with pytest.raises(ValueError, match=r'or remove this one$'):  # to resume would be of no use
        train_run(data, world / 'tables', both, tmp_path / 'run', **options)
    assert contents(tmp_path / 'run') == contents(world / 'run')


def test_check_reads_everything(world, tmp_path, monkeypatch, capsys):
    from drin_pyg.cli.check import check

    monkeypatch.setattr('drin_pyg.files.READ_AT_ONCE', 0)  # as if all were too large to be read in passing
    shutil.copytree(world / 'run', tmp_path / 'run')
    shutil.copytree(world / 'tables', tmp_path / 'tables')
    index(world, tmp_path / 'run' / 'index')
    for folder, name in (('tables', 'entity.text.npy'), ('run', 'metrics.csv'), ('run/index', 'part-*')):
        check(tmp_path / folder)
        assert capsys.readouterr().out == f'{tmp_path / folder}: whole\n'
        path, = (tmp_path / folder).glob(name)
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ValueError, match=re.escape(path.name)):
            check(tmp_path / folder)
    with pytest.raises(FileNotFoundError, match='holds no tables, run, index or results'):
        check(tmp_path)


def test_check_reads_pictures_that_were_cut_out(emoji_data, tmp_path):
    save_tables(emoji_data, tmp_path / 'tables', {})
    check_tables(tmp_path / 'tables')
    path = next((tmp_path / 'tables' / 'data' / 'images').iterdir())
    content = path.read_bytes()
    for damage in (lambda: path.write_bytes(content[:-1]), path.unlink):
        damage()
        with pytest.raises(ValueError, match='other pictures than were written'):
            check_tables(tmp_path / 'tables')
