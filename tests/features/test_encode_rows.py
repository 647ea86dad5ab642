import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from drin_pyg.datasets import PictureError
from drin_pyg.features import Encoding, FeatureTable, RowEncoder, encode_rows

module = sys.modules[encode_rows.__module__]
ROOT = Path(__file__).parents[2]


class Lengths(RowEncoder):
    """Words to (length, batch it was in): 'bad...' cannot be used, 'gone...' cannot be read."""

    name = 'words'
    batch_size = 4

    def __init__(self, version=1):
        super().__init__()
        self.version = version
        self.calls = 0

    @property
    def spec(self):
        return {'encoder': 'lengths', 'version': self.version}

    def keys(self, items):
        return [None if item.startswith('gone') else item for item in items]

    def order(self, items):
        return sorted(range(len(items)), key=lambda i: items[i])

    def prepare(self, item):
        if item.startswith('bad'):
            raise PictureError(Path(item), 'damaged')
        return item

    def encode(self, batch):
        self.calls += 1
        size = torch.tensor([[float(len(item)), len(batch)] for item in batch]).view(-1, 2)
        return {'size': size, 'double': 2 * size[:, :1]}


ITEMS = ['ccc', 'a', 'bad1', 'ccc', 'gone', 'eeeee', 'dddd', 'a', 'bb', 'ffffff']


@pytest.fixture(params=['memory', 'disk', 'workers'])
def how(request, tmp_path):
    return Encoding(None if request.param == 'memory' else tmp_path / 'store', 2 * (request.param == 'workers'))


def test_each_distinct_item_once(how):
    found = encode_rows(Lengths(), ITEMS, how)
    # Rows are in the encoder's order: a bad1 bb ccc | dddd eeeee ffffff.
    assert found.index.tolist() == [3, 0, -1, 3, -1, 5, 4, 0, 2, 6]
    assert found.columns['size'][found.index[found.index >= 0], 0].tolist() == [3, 1, 3, 5, 4, 1, 2, 6]
    assert found.columns['size'][:, 1].tolist() == [3, 0, 3, 3, 3, 3, 3]
    assert found.columns['double'].shape == (7, 1)
    assert found.reasons == {2: 'damaged', 4: 'missing'}


@pytest.mark.parametrize('items', [[], ['gone', 'gone2'], ['bad1', 'bad2']])
def test_nothing_to_encode(how, items):
    found = encode_rows(Lengths(), items, how)
    assert found.index.tolist() == [-1] * len(items)
    assert found.columns['size'].shape[1] == 2
    assert len(found.reasons) == len(items)


def test_finished_table_is_found_again(tmp_path):
    first, second = Lengths(), Lengths()
    one, two = (encode_rows(encoder, ITEMS, Encoding(tmp_path)) for encoder in (first, second))
    assert (first.calls, second.calls) == (2, 0)
    assert one.columns['size'].equal(two.columns['size'])
    assert (one.index.tolist(), one.reasons) == (two.index.tolist(), two.reasons)


@pytest.mark.parametrize('change', ['items', 'encoder'])
def test_other_items_or_encoder_is_another_table(tmp_path, change):
    encode_rows(Lengths(), ITEMS, Encoding(tmp_path))
    other = Lengths(version=2) if change == 'encoder' else Lengths()
    encode_rows(other, [*ITEMS, 'g'] if change == 'items' else ITEMS, Encoding(tmp_path))
    assert other.calls > 0
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2


def test_nan_is_an_error_that_names_the_item(how):
    class Broken(Lengths):
        def encode(self, batch):
            return {'size': torch.tensor([[float('nan') if item == 'dddd' else 1.] for item in batch])}

    with pytest.raises(ValueError, match=r"words gives NaN.*'dddd'"):
        encode_rows(Broken(), ITEMS, how)


class Dies(Lengths):
    """Raises in a given batch."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def encode(self, batch):
        if self.calls == self.batch:
            raise RuntimeError
        return super().encode(batch)


MANY = [f'{"x" * (i % 7)}{i}' for i in range(50)] + ['bad3', 'bad4']


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


@pytest.mark.parametrize('save_every', [1, 3, 100])
@pytest.mark.parametrize('batch', [0, 1, 5, 12])
def test_goes_on_after_an_interruption_with_the_same_bytes(tmp_path, monkeypatch, batch, save_every):
    monkeypatch.setattr(module, 'SAVE_EVERY', save_every)
    encode_rows(Lengths(), MANY, Encoding(tmp_path / 'whole'))
    with pytest.raises(RuntimeError):
        encode_rows(Dies(batch), MANY, Encoding(tmp_path / 'cut'))
    again = Lengths()
    encode_rows(again, MANY, Encoding(tmp_path / 'cut'))
    assert again.calls == 13 - batch
    assert contents(tmp_path / 'whole') == contents(tmp_path / 'cut')


@pytest.mark.parametrize('extra', [1, 7, 1000])
def test_what_was_written_beyond_the_count_is_cut_off(tmp_path, extra):
    # A kill may come after rows were appended and before they were counted.
    encode_rows(Lengths(), MANY, Encoding(tmp_path / 'whole'))
    with pytest.raises(RuntimeError):
        encode_rows(Dies(5), MANY, Encoding(tmp_path / 'cut'))
    folder, = (path for path in (tmp_path / 'cut').iterdir() if path.is_dir())
    with open(folder / 'size.npy', 'ab') as file:
        file.write(b'\xff' * extra)
    encode_rows(Lengths(), MANY, Encoding(tmp_path / 'cut'))
    assert contents(tmp_path / 'whole') == contents(tmp_path / 'cut')


@pytest.mark.parametrize('damage', [lambda path: path.unlink(), lambda path: os.truncate(path, 200)])
def test_begins_again_where_rows_were_taken_away(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(module, 'SAVE_EVERY', 1)
    encode_rows(Lengths(), MANY, Encoding(tmp_path / 'whole'))
    with pytest.raises(RuntimeError):
        encode_rows(Dies(9), MANY, Encoding(tmp_path / 'cut'))
    folder, = (path for path in (tmp_path / 'cut').iterdir() if path.is_dir())
    damage(folder / 'double.npy')
    again = Lengths()
    encode_rows(again, MANY, Encoding(tmp_path / 'cut'))
    assert again.calls == 13
    assert contents(tmp_path / 'whole') == contents(tmp_path / 'cut')


KILLED = '''
import sys, time
from pathlib import Path
from drin_pyg.features import Encoding, encode_rows
from drin_pyg.features import encode_rows as function
sys.modules[function.__module__].SAVE_EVERY = 2
from tests.features.test_encode_rows import Lengths, MANY
class Slow(Lengths):
    def encode(self, batch):
        time.sleep(0.02)
        return super().encode(batch)
print('ready', flush=True)
encode_rows(Slow(), MANY, Encoding(Path(sys.argv[1])))
'''


def test_survives_sigkill(tmp_path):
    encode_rows(Lengths(), MANY, Encoding(tmp_path / 'whole'))
    for delay in (0.01, 0.08, 0.15):
        process = subprocess.Popen([sys.executable, '-W', 'ignore', '-c', KILLED, str(tmp_path / 'cut')], cwd=ROOT,
                                   stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    encode_rows(Lengths(), MANY, Encoding(tmp_path / 'cut'))
    left = contents(tmp_path / 'cut')
    assert {name: data for name, data in left.items() if not name.endswith('.tmp')} == contents(tmp_path / 'whole')


@pytest.fixture
def table(tmp_path):
    encode_rows(Lengths(), ITEMS, Encoding(tmp_path))
    return next(path for path in tmp_path.iterdir() if path.is_dir())


def test_table_on_disk(table):
    found = FeatureTable(table)
    assert found.manifest['spec'] == {'encoder': 'lengths', 'version': 1}
    assert found.manifest['dtype'] == 'float32'
    assert (found.num_rows, found.failed) == (7, {1: 'damaged'})
    assert found['size'].equal(torch.from_numpy(np.load(table / 'size.npy')))


def test_mapping_is_private(table):
    FeatureTable(table)['size'].zero_()
    assert FeatureTable(table)['size'].any()


def test_foreign_table_is_refused(table):
    with pytest.raises(ValueError, match='made from other items or by another encoder'):
        FeatureTable(table, 'x' * 64)


@pytest.mark.parametrize('damage', [
    lambda folder: (folder / 'size.npy').write_bytes((folder / 'size.npy').read_bytes()[:-4]),
    lambda folder: (folder / 'size.npy').write_bytes(b''),
    lambda folder: (folder / 'size.npy').unlink(),
    lambda folder: np.save(folder / 'size.npy', np.zeros((3, 2), np.float32)),
    lambda folder: np.save(folder / 'size.npy', np.array([{}], dtype=object), allow_pickle=True),
    lambda folder: (folder / 'manifest.json').write_text('{'),
    lambda folder: (folder / 'manifest.json').write_text('[]'),
    lambda folder: (folder / 'manifest.json').write_text(json.dumps({'num_rows': 1})),
])
def test_damaged_table_is_named_and_made_anew(table, damage, caplog):
    whole = contents(table)
    damage(table)
    with pytest.raises(ValueError, match=str(table)):
        FeatureTable(table)
    with caplog.at_level(logging.WARNING):
        encode_rows(Lengths(), ITEMS, Encoding(table.parent))
    assert str(table) in caplog.text
    assert contents(table) == whole


def test_missing_column_is_named(table):
    os.unlink(table / 'size.npy')
    with pytest.raises(ValueError, match=r"size\.npy' is missing; remove the folder"):
        FeatureTable(table)


@pytest.mark.parametrize(('array', 'message'), [
    (np.zeros((7, 2)), r"size\.npy' is torch\.float64 \[7, 2\]; remove the folder"),
    (np.zeros(7, np.float32), r"size\.npy' is torch\.float32 \[7\]; remove the folder"),
    (np.full((7, 2), 'no number'), r"size\.npy' is no array of numbers"),
])
def test_column_of_another_kind_is_named(table, array, message):
    np.save(table / 'size.npy', array)
    with pytest.raises(ValueError, match=message):
        FeatureTable(table)


@pytest.mark.parametrize('files', [[], {'size.npy': 3}, {'size.npy': {}}, {'size.npy': {'bytes': 3}}, 5])
def test_a_manifest_that_knows_its_files_otherwise_is_named(table, files):
    manifest = json.loads((table / 'manifest.json').read_text())
    del manifest['sha256']
    (table / 'manifest.json').write_text(json.dumps({**manifest, 'files': files}))
    if files == []:
        assert FeatureTable(table).num_rows == 7
        return
    with pytest.raises(ValueError, match=str(table)):
        FeatureTable(table)


def test_who_has_mapped_a_table_keeps_it(table):
    found = FeatureTable(table)
    rows = found['size'].clone()
    (table / 'double.npy').unlink()
    encode_rows(Lengths(), ITEMS, Encoding(table.parent))  # written anew, beside what is mapped
    assert found['size'].equal(rows)


def test_an_error_of_the_system_is_no_damage(table, monkeypatch):
    before = contents(table)

    def fail(*_, **__):
        raise OSError(12, 'Cannot allocate memory')

    monkeypatch.setattr(np.lib.format, 'open_memmap', fail)
    with pytest.raises(OSError, match=r"Cannot allocate memory: .*\.npy'"):
        encode_rows(Lengths(), ITEMS, Encoding(table.parent))
    assert contents(table) == before


def test_two_processes_share_a_store(tmp_path):
    processes = [subprocess.Popen([sys.executable, '-W', 'ignore', '-c', KILLED, str(tmp_path / 'both')], cwd=ROOT,
                                  stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate() and process.returncode for process in processes] == [0, 0]
    encode_rows(Lengths(), MANY, Encoding(tmp_path / 'whole'))
    assert contents(tmp_path / 'both') == contents(tmp_path / 'whole')
