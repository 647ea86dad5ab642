"""Folders from strangers: nothing in them runs, claims memory that it does not fill, or leads out of its folder."""

import json
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from drin_pyg.datasets import MELFolder, PictureError, WikiMELText, convert, gzip_lines
from drin_pyg.datasets.drin_preprocessed import DRINPreprocessed
from drin_pyg.evaluation.parity import published_parity
from drin_pyg.features import encode_folder, load_tables
from drin_pyg.features.feature_table import FeatureTable, FeatureTableWriter, map_array
from drin_pyg.features.side_tables import side_tables
from drin_pyg.files import own_file, read_record, read_yaml, write_record
from drin_pyg.linking import EntityIndex
from drin_pyg.nn import DRIN
from drin_pyg.training import CandidateDataModule, Recipe, fit
from drin_pyg.training.checkpoint_file import read_checkpoint
from drin_pyg.vocabulary import NODE_TYPES
from tests.datasets.layouts import write_lines, write_wikimel_text
from tests.evaluation.published_reference import write_folder
from tests.nn.test_nn_properties import make_model
from tests.training.tables import make_tables


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path), )


@pytest.fixture
def bomb(tmp_path):
    """A bomb, which must not have gone off in the end."""
    yield Bomb(tmp_path / 'exploded')
    assert not (tmp_path / 'exploded').exists()


def bombs(bomb):
    """The ways to hide one in a file that arrays or parameters are expected in."""
    array = np.empty(3, dtype=object)
    array[:] = [bomb] * 3
    return {'pickle': lambda path: path.write_bytes(pickle.dumps(bomb)),
            'torch': lambda path: torch.save({'state_dict': bomb}, path),
            'old torch': lambda path: torch.save(bomb, path, _use_new_zipfile_serialization=False),
            'numpy': lambda path: _save(path, lambda file: np.save(file, array, allow_pickle=True)),
            'archive': lambda path: _save(path, lambda file: np.savez(file, scores=array))}


def _save(path, write):
    with open(path, 'wb') as file:
        write(file)


def test_the_bomb_is_one(tmp_path):
    pickle.loads(pickle.dumps(Bomb(tmp_path / 'exploded')))
    assert (tmp_path / 'exploded').is_dir()


hidden = pytest.mark.parametrize('way', ['pickle', 'torch', 'old torch', 'numpy', 'archive'])


@hidden
def test_no_array_explodes(tmp_path, bomb, way):
    path = tmp_path / 'x.npy'
    bombs(bomb)[way](path)
    with pytest.raises(ValueError, match=r"x\.npy' is not a readable \.npy array"):
        map_array(path)


@hidden
@pytest.mark.parametrize('name', ['parameters.npz', 'expected.npz', 'answer_test.npy'])
def test_no_published_folder_explodes(tmp_path, bomb, way, name):
    write_folder(tmp_path / 'data')
    bombs(bomb)[way](tmp_path / 'data' / name)
    with pytest.raises(ValueError, match=f'{name}.*is not a readable'):
        published_parity(tmp_path / 'data')


@hidden
def test_no_model_explodes(tmp_path, bomb, way, world):
    folder = make_model(world.tables).save_pretrained(tmp_path / 'model')
    bombs(bomb)[way](folder / 'model.safetensors')
    with pytest.raises(ValueError, match='holds no DRIN that can be read'):
        DRIN.from_pretrained(folder)


@hidden
def test_no_index_explodes(tmp_path, bomb, way, world):
    EntityIndex.build(make_model(world.tables), side_tables(world.tables)[1], folder=tmp_path / 'index')
    part, = (tmp_path / 'index').glob('part-*')
    bombs(bomb)[way](part)
    with pytest.raises(ValueError, match='no readable index'):
        EntityIndex.load(tmp_path / 'index')


@pytest.mark.filterwarnings('ignore:Checkpoint directory')  # it is not empty: that is what is tried
@pytest.mark.parametrize('way', ['torch', 'old torch', 'pickle'])
def test_no_checkpoint_explodes(tmp_path, bomb, way):
    tables, candidates, split = make_tables()
    data = CandidateDataModule(tables, candidates, split)
    (tmp_path / 'run' / 'checkpoints').mkdir(parents=True)
    bombs(bomb)[way](tmp_path / 'run' / 'checkpoints' / 'last.ckpt')
    with pytest.raises(ValueError, match=r"last\.ckpt' is damaged"):
        fit(DRIN(tables.x[NODE_TYPES[0]].size(1), 8), data, tmp_path / 'run', max_epochs=1, resume=True, progress=False,
            accelerator='cpu')


@pytest.mark.parametrize('text', ['!!python/object/apply:os.mkdir [exploded]', '!!python/name:os.system ""',
                                  'model: !!python/object:drin_pyg.nn.DRIN {}'])
def test_no_recipe_explodes(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'recipe.yaml').write_text(text)
    with pytest.raises(ValueError, match=r"recipe\.yaml' is no YAML"):
        Recipe.load(tmp_path / 'recipe.yaml')
    assert [path.name for path in tmp_path.iterdir()] == ['recipe.yaml']


def test_laughs_stay_few(tmp_path):
    lines = ['a: &a [x, x, x, x, x, x, x, x, x]']
    lines += [f'{name}: &{name} [{", ".join([f"*{before}"] * 9)}]' for before, name in zip('abcdefgh', 'bcdefghi',
                                                                                           strict=True)]
    (tmp_path / 'x.yaml').write_text('\n'.join(lines))
    with pytest.raises(ValueError, match='aliases are not taken'):
        read_yaml(tmp_path / 'x.yaml')


# Sizes that are claimed

def in_little_memory(code, *arguments):
    """What a fresh process prints that may take a gibibyte beyond what its imports took."""
    start = ("import resource, sys\nfrom pathlib import Path\n"
             "from drin_pyg.nn import DRIN\nfrom drin_pyg.features.feature_table import map_array\n"
             "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
             "resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))\n")
    return subprocess.run([sys.executable, '-W', 'ignore', '-c', start + code, *map(str, arguments)], text=True,
                          capture_output=True, check=False, timeout=120)


def test_a_configuration_claims_no_memory(tmp_path, world):
    folders = []
    for claims in ({'hidden_channels': 10**9}, {'num_layers': 10**6}, {'num_layers': 10**30}, {'hidden_channels': -1},
                   {'in_channels': 10**12}, {'num_layers': 1e9}):
        folders.append(make_model(world.tables).save_pretrained(tmp_path / str(len(folders))))
        config = json.loads((folders[-1] / 'config.json').read_text())
        (folders[-1] / 'config.json').write_text(json.dumps(config | claims))
    # A little model that claims a large one, whose parameters are not in the file.
    folders.append(make_model(world.tables).save_pretrained(tmp_path / 'absent'))
    config = json.loads((folders[-1] / 'config.json').read_text())
    (folders[-1] / 'config.json').write_text(json.dumps(config | {'hidden_channels': 30_000}))
    save_file({'a': torch.zeros(1), 'b': torch.zeros(1)}, folders[-1] / 'model.safetensors')
    done = in_little_memory("for folder in sys.argv[1:]:\n"
                            "    try:\n        DRIN.from_pretrained(folder)\n"
                            "    except ValueError as error:\n        print('refused', error)\n", *folders)
    refused = done.stdout.splitlines()
    assert len(refused) == len(folders), done.stderr
    for folder, line in zip(folders, refused, strict=True):
        assert line.startswith(f"refused '{folder}' holds no DRIN")


def test_a_header_claims_no_memory(tmp_path):
    path = tmp_path / 'x.npy'
    with open(path, 'wb') as file:
        np.lib.format.write_array_header_1_0(file, {'descr': '<f4', 'fortran_order': False, 'shape': (10**9, 64)})
        file.write(b'\0' * 4096)
    done = in_little_memory("try:\n    map_array(Path(sys.argv[1]))\n"
                            "except ValueError as error:\n    print('refused', error)\n", path)
    assert str(path) in done.stdout, done.stderr


def test_a_checkpoint_is_not_larger_than_its_file(tmp_path):
    torch.save({'state_dict': {'x': torch.zeros(10**6)}, 'callbacks': {}}, tmp_path / 'x.ckpt')
    assert read_checkpoint(tmp_path / 'x.ckpt')['state_dict']['x'].numel() == 10**6
    with zipfile.ZipFile(tmp_path / 'x.ckpt') as stored, \
            zipfile.ZipFile(tmp_path / 'y.ckpt', 'w', zipfile.ZIP_DEFLATED) as packed:
        for member in stored.infolist():
            packed.writestr(member.filename, stored.read(member))
    with pytest.raises(ValueError, match=r"y\.ckpt' is damaged: it is compressed"):
        read_checkpoint(tmp_path / 'y.ckpt')


def test_parameters_that_are_no_numbers_are_refused(tmp_path, world):
    model = make_model(world.tables)
    with torch.no_grad():
        model.relation_scale[0] = torch.nan
    with pytest.raises(ValueError, match="'relation_scale' holds NaN"):
        DRIN.from_pretrained(model.save_pretrained(tmp_path / 'model'))


def test_an_archive_unpacks_to_no_more_than_is_allowed(tmp_path, monkeypatch):
    write_folder(tmp_path)
    monkeypatch.setattr('drin_pyg.evaluation.parity.LARGEST_ARCHIVE', 2**20)
    with zipfile.ZipFile(tmp_path / 'expected.npz', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('scores.npy', b'\0' * 2**21)
    with pytest.raises(ValueError, match='it unpacks to 2,097,152 bytes, more than 1,048,576'):
        published_parity(tmp_path)


def test_a_line_unpacks_to_no_more_than_is_allowed(tmp_path, monkeypatch):
    write_wikimel_text(tmp_path)
    monkeypatch.setattr(gzip_lines, 'LONGEST_LINE', 500)
    assert len(WikiMELText(tmp_path).entities) == 6
    write_lines(tmp_path / 'dev.jsonl.gz', {'id': '1', 'sentence': 'x' * 500, 'mention': 'x', 'answer': 'Q1'})
    with pytest.raises(ValueError, match=r"dev\.jsonl\.gz', line 1: it is longer than 500 bytes"):
        _ = WikiMELText(tmp_path).mentions


# Ways out of a folder

@pytest.mark.parametrize('name', ['../secret', '/etc/passwd', 'a/b', '..', '.', '', 'a\0b', 'x' * 300, 'ä' * 200])
def test_a_name_is_no_path(tmp_path, name):
    with pytest.raises(ValueError, match='names no file of'):
        own_file(tmp_path, name)


def test_a_link_stays_in_its_folder(tmp_path):
    home, secret = tmp_path / 'home', tmp_path / 'secret'
    home.mkdir()
    secret.write_text('hush')
    (home / 'own').write_text('fine')
    (home / 'inside').symlink_to('own')
    (home / 'outside').symlink_to(secret)
    (home / 'nowhere').symlink_to('gone')
    os.mkfifo(home / 'pipe')
    assert own_file(home, 'inside').read_text() == 'fine'
    with pytest.raises(ValueError, match='a link that leads out of its folder') as refused:
        own_file(home, 'outside')
    assert 'hush' not in str(refused.value)
    for name in ('nowhere', 'pipe'):  # a pipe would be waited for
        with pytest.raises(FileNotFoundError, match='is missing'):
            own_file(home, name)
    (tmp_path / 'linked').symlink_to(home)
    assert own_file(tmp_path / 'linked', 'own').read_text() == 'fine'
    assert own_file(tmp_path / 'linked', 'inside').read_text() == 'fine'


def as_hub(folder, root):
    """The same folder as huggingface_hub keeps it: links into a store."""
    snapshot, blobs = root / 'models--a--b' / 'snapshots' / '0123', root / 'models--a--b' / 'blobs'
    for path in (snapshot, blobs):
        path.mkdir(parents=True)
    for number, path in enumerate(sorted(folder.iterdir())):
        (blobs / str(number)).write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(os.path.relpath(blobs / str(number), snapshot))
    return snapshot


def test_the_cache_of_a_hub_is_read(tmp_path, world):
    model = make_model(world.tables)
    model.save_pretrained(tmp_path / 'model')
    EntityIndex.build(model, side_tables(world.tables)[1], folder=tmp_path / 'index')
    DRIN.from_pretrained(as_hub(tmp_path / 'model', tmp_path / 'one'))
    EntityIndex.load(as_hub(tmp_path / 'index', tmp_path / 'two'), model)


@pytest.mark.parametrize('name', ['config.json', 'model.safetensors'])
def test_a_model_that_leads_elsewhere_is_refused(tmp_path, world, name):
    folder = make_model(world.tables).save_pretrained(tmp_path / 'model')
    (folder / name).rename(tmp_path / 'elsewhere')
    (folder / name).symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(ValueError, match='leads out of its folder'):
        DRIN.from_pretrained(folder)


@pytest.mark.parametrize('name', ['../part.safetensors', '/etc/passwd', 5, None, ['x']])
@pytest.mark.parametrize('field', ['parts', 'rows'])
def test_an_index_that_leads_elsewhere_is_refused(tmp_path, world, field, name):
    model = make_model(world.tables)
    EntityIndex.build(model, side_tables(world.tables)[1], folder=tmp_path / 'index')
    path = tmp_path / 'index' / 'index.json'
    # With its digest, as a stranger would write it.
    write_record(path, read_record(path) | {field: [name] if field == 'parts' else name})
    if field == 'rows' and name is None:
        EntityIndex.load(tmp_path / 'index', model)
        return
    with pytest.raises(ValueError, match=r'index\.json. is no readable index') as caught:
        EntityIndex.load(tmp_path / 'index', model)
    assert 'not what was written' not in str(caught.value)


def test_tables_that_lead_elsewhere_are_refused(tmp_path):
    write_folder(tmp_path / 'source')
    encode_folder(tmp_path / 'source', tmp_path / 'tables')
    array = tmp_path / 'tables' / 'mention.text.npy'
    array.rename(tmp_path / 'elsewhere.npy')
    array.symlink_to(tmp_path / 'elsewhere.npy')
    with pytest.raises(ValueError, match='leads out of its folder'):
        load_tables(tmp_path / 'tables')


def test_a_table_that_leads_elsewhere_is_refused(tmp_path):
    writer = FeatureTableWriter(tmp_path / 'table', 'key', {}, 3)
    writer.append({'../x': torch.ones(3, 2)}, {})
    with pytest.raises(ValueError, match='names no file of'):
        writer.finish()
    with pytest.raises(ValueError, match='names no file of'):
        FeatureTable(tmp_path / 'table')


def test_what_is_no_picture_is_not_copied(tmp_path):
    (tmp_path / 'secret').write_text('hush')
    source = tmp_path / 'source'
    source.mkdir()
    (source / 'linked.png').symlink_to(tmp_path / 'secret')
    write_lines(source / 'entities.jsonl', {'id': 'Q1', 'name': 'x', 'images': [
        '../secret', str(tmp_path / 'secret'), 'linked.png']})
    write_lines(source / 'mentions.jsonl', {'id': 'm', 'sentence': 'x', 'mention': 'x'})
    dataset = MELFolder(source)
    for picture in dataset.entities[0].pictures:
        with pytest.raises(PictureError) as refused:
            picture.open()
        assert 'hush' not in str(refused.value)
    convert(dataset, tmp_path / 'out', copy_images=True)
    assert not [path for path in (tmp_path / 'out').rglob('*') if path.is_file() and b'hush' in path.read_bytes()]


def test_a_folder_of_arrays_claims_no_other_rows(tmp_path):
    write_folder(tmp_path, dataset='wikimel')
    rows = json.loads((tmp_path / 'qid2idx.json').read_text())
    (tmp_path / 'qid2idx.json').write_text(json.dumps(dict.fromkeys(rows, -1)))
    with pytest.raises(ValueError, match=r"qid2idx\.json': rows count from 0"):
        DRINPreprocessed(tmp_path)


def test_scores_of_any_index_that_is_read_have_rows(tmp_path, world):
    model = make_model(world.tables)
    index = EntityIndex.build(model, side_tables(world.tables)[1])
    for change in ({'num_images': torch.tensor([2, -1] + [0] * 6)}, {'id_ptr': torch.arange(9) * 1000}):
        damaged = replace_part(index, change)
        folder = damaged.save(tmp_path / next(iter(change)))
        with pytest.raises(ValueError, match='is no readable index'):
            EntityIndex.load(folder, model)


def replace_part(index, change):
    """The index with other arrays in its one part."""
    return EntityIndex({**index.manifest, 'parts': [None]}, [{**index.parts[0], **change}], None)
