import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from drin_pyg.datasets import DRINPreprocessed, EmojiMEL, MELFolder, write_mel_folder
from drin_pyg.features import Candidates, MELData, encode_folder, load_tables, preprocessed_tables
from drin_pyg.features.tables_folder import save_tables
from drin_pyg.files import read_record, write_record
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, IMAGE_TEXT, NODE_TYPES, TEXT_IMAGE, TEXT_TEXT
from tests.evaluation.published_reference import DEFAULTS, write_data
from tests.features.tiny_models import save_clip
from tests.world import GOLD, LISTS

ROOT = Path(__file__).parents[2]
NUM_ENTITIES = 40


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A small canonical folder of real records: 40 emoji and their mentions among them."""
    emoji = EmojiMEL()
    entities = emoji.entities[::45]
    known = {entity.id for entity in entities}
    mentions = [mention for mention in emoji.mentions if mention.answer in known]
    folder = tmp_path_factory.mktemp('data') / 'emoji'
    write_mel_folder(entities, mentions, folder)
    return folder


@pytest.fixture(scope='module')
def tables(source, tmp_path_factory):
    out = tmp_path_factory.mktemp('tables') / 'out'
    summary = encode_folder(source, out)
    assert f'entity   text {NUM_ENTITIES} x 384' in summary.format()
    assert summary.to_dict()['shapes']['entity']['text'] == [NUM_ENTITIES, 384]
    return out


@pytest.fixture
def copy(tables, tmp_path):
    return shutil.copytree(tables, tmp_path / 'copy')


def same(one, other):
    for node_type in NODE_TYPES:
        assert one.tables.x[node_type].equal(other.tables.x[node_type])
    for edge_type in EDGE_TYPES:
        for a, b in zip(one.tables.weight[edge_type], other.tables.weight[edge_type], strict=True):
            assert a.equal(b)
    for name in ('ptr', 'entity', 'gold'):
        assert getattr(one.candidates, name).equal(getattr(other.candidates, name))
    assert {name: rows.tolist() for name, rows in one.split.items()} \
        == {name: rows.tolist() for name, rows in other.split.items()}


def rewrite(folder, *absent, **changes):
    """A manifest that is whole, but says something else."""
    manifest = read_record(folder / 'tables.json') | changes
    write_record(folder / 'tables.json', {name: value for name, value in manifest.items() if name not in absent})


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


def test_what_is_loaded_is_what_was_encoded(source, tables):
    from drin_pyg.features import OfflineFeatures, encode

    dataset, loaded = MELFolder(source), load_tables(tables)
    same(loaded, encode(dataset, OfflineFeatures()))
    assert [mention.id for mention in loaded.mentions] == [mention.id for mention in dataset.mentions]
    assert [entity.name for entity in loaded.entities] == [entity.name for entity in dataset.entities]
    assert sorted(path.name for path in tables.iterdir() if path.is_dir()) == ['data']


def test_features_stay_on_disk(copy):
    path, loaded = copy / 'entity.image.npy', load_tables(copy)
    x = loaded.tables.x[ENTITY_IMAGE]
    before = float(x[-1, -1])
    with open(path, 'r+b') as file:  # what is mapped changes with its file, what was read does not
        file.seek(-4, 2)
        file.write(np.float32(before + 1).tobytes())
    assert float(x[-1, -1]) == pytest.approx(before + 1)


def test_new_mention_gets_the_rows_it_had(tables):
    loaded = load_tables(tables)
    again = loaded.tables_of(loaded.mentions[:3])
    for edge_type in EDGE_TYPES:
        torch.testing.assert_close(again.weight[edge_type][0], loaded.tables.weight[edge_type][0][:3])
        assert again.weight[edge_type][1].equal(loaded.tables.weight[edge_type][1])


def test_called_again_it_does_nothing(source, tables):
    before = {path: path.stat().st_mtime_ns for path in tables.rglob('*.npy')}
    encode_folder(source, tables)
    assert {path: path.stat().st_mtime_ns for path in tables.rglob('*.npy')} == before


def test_candidates_by_row(source, tables):
    dataset, loaded = MELFolder(source), load_tables(tables)
    row = {entity.id: i for i, entity in enumerate(dataset.entities)}
    for i, mention in enumerate(dataset.mentions):
        begin, end = loaded.candidates.ptr[i], loaded.candidates.ptr[i + 1]
        assert loaded.candidates.entity[begin:end].tolist() == [row[name] for name in mention.candidates]
        assert loaded.candidates.gold[i] == row[mention.answer]


@pytest.mark.parametrize(('change', 'message'), [
    (lambda f: (f / 'entity.text.npy').unlink(), r"entity\.text\.npy' is missing"),
    (lambda f: np.save(f / 'entity.text.npy', np.zeros((3, 384), np.float32)), r'entity\.text\.npy.*encode the data'),
    (lambda f: np.save(f / 'entity.text.npy', np.zeros((40, 384))), r'entity\.text\.npy.*float64'),
    (lambda f: (f / 'mention.text.npy').write_bytes((f / 'mention.text.npy').read_bytes()[:-1]), r'mention\.text\.npy'),
    (lambda f: (f / 'tables.json').write_text('{'), r'tables\.json.*damaged'),
    (lambda f: (f / 'tables.json').write_text('{"format": 99}'), 'format 99'),
    (lambda f: (f / 'tables.json').unlink(), 'holds no encoded tables'),
    (lambda f: rewrite(f, 'notes'), r"tables\.json.*damaged.*'notes' is missing"),
    (lambda f: rewrite(f, source='emoji'), r"tables\.json.*damaged.*'source' is 'emoji'"),
    (lambda f: (f / 'data' / 'entities.jsonl').write_text('{"id": "x", "name": "x"}\n'), r'entities\.jsonl.*not the'),
    (lambda f: (f / 'data' / 'mentions.jsonl').unlink(), r'mentions\.jsonl'),
])
def test_stale_or_damaged_files_are_named(copy, change, message):
    change(copy)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_tables(copy)


@pytest.mark.parametrize(('change', 'message'), [
    ({'lists': LISTS[:5]}, 'are not of as many mentions and entities'),
    ({'lists': [*LISTS[:5], [7, 8]]}, 'the candidates point at row 0 or 8, but there are 8'),
    ({'gold': [*GOLD[:5], 8]}, 'the answers point at row -1 or 8, but there are 8'),
    ({'gold': [*GOLD[:5], -2]}, 'the answers point at row -2 or 7, but there are 8'),
    ({'split': {'val': [0, 5], 'test': [-1, 5]}}, "the rows of the split 'test' point at row -1 or 5, but there are 6"),
    ({'weight': TEXT_IMAGE}, "the weights of 'text_image' are one number a pair, but some have several images"),
    ({'weight': IMAGE_TEXT}, "the weights of 'image_text' are one number a pair, but some have several images"),
    ({'weight': TEXT_TEXT}, None),
])
def test_parts_that_do_not_belong_together_are_refused(world, tmp_path, change, message):
    lists, gold = change.get('lists', LISTS), change.get('gold', GOLD)
    candidates = Candidates.from_lists(lists, gold[:len(lists)])
    if 'weight' in change:
        candidates.weight[change['weight']] = torch.zeros(candidates.num_pairs)
    split = {name: torch.tensor(rows) for name, rows in change.get('split', {'test': [0, 5]}).items()}
    save_tables(MELData(world.tables, candidates, split), tmp_path, {})
    if message is None:
        same(load_tables(tmp_path), MELData(world.tables, candidates, split))
        return
    with pytest.raises(ValueError, match=rf"tables\.json' cannot be used: .*{message}"):
        load_tables(tmp_path)


def test_array_that_is_a_pickle_is_refused(copy):
    np.save(copy / 'candidates.ptr.npy', np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r'candidates\.ptr\.npy'):
        load_tables(copy)


@pytest.mark.parametrize('change', ['records', 'pictures', 'preset'])
def test_tables_of_something_else_are_refused(source, copy, tmp_path, change):
    other, preset, options = shutil.copytree(source, tmp_path / 'source'), 'offline', {}
    manifest = read_record(copy / 'tables.json')
    manifest['source']['source'] = str(other)
    write_record(copy / 'tables.json', manifest)
    if change == 'records':
        lines = (other / 'mentions.jsonl').read_text().splitlines(keepends=True)
        (other / 'mentions.jsonl').write_text(''.join(lines[1:]))
    elif change == 'pictures':
        picture = next((other / 'images').iterdir())
        picture.write_bytes(picture.read_bytes() + b'x')
    else:
        preset, options = 'clip', {'clip': f"local-dir:{save_clip(tmp_path / 'clip')}"}
    before = contents(copy)
    with pytest.raises(ValueError, match='holds tables made otherwise'):
        encode_folder(other, copy, preset, options)
    assert contents(copy) == before


@pytest.mark.parametrize('name', ['letter.txt', 'features.npy', 'model.safetensors'])
def test_folder_with_other_files_is_left_alone(source, tmp_path, name):
    (tmp_path / name).write_text('mine')
    with pytest.raises(ValueError, match='holds other files'):
        encode_folder(source, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_encoded_rows_are_kept_in_a_folder_of_ones_own(source, tables, tmp_path):
    encode_folder(source, tmp_path / 'out', work=tmp_path / 'work')
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / 'work').rglob('*.npy')}
    assert len(kept) == 4
    encode_folder(source, tmp_path / 'again', work=tmp_path / 'work')
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'work').rglob('*.npy')} == kept
    same(load_tables(tmp_path / 'again'), load_tables(tables))
    assert not (tmp_path / 'out' / 'work').exists()


def test_killed_and_started_again_it_ends_with_the_same_bytes(source, tables, tmp_path):
    code = 'import sys; from drin_pyg.features import encode_folder; encode_folder(sys.argv[1], sys.argv[2])'
    out = tmp_path / 'out'
    for delay in (0.3, 1.2, 2.5):
        process = subprocess.Popen([sys.executable, '-W', 'ignore', '-c', f"import sys; import drin_pyg.features; "
                                    f"print('ready', flush=True); {code}", str(source), str(out)], cwd=ROOT,
                                   stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    encode_folder(source, out)
    left, whole = contents(out), contents(tables)
    # Images are referred to by paths relative to the folder, which lies elsewhere.
    relative = [name for name in whole if name.startswith('data/') or name == 'tables.json']
    assert {name: data for name, data in left.items() if name not in relative and not name.endswith('.tmp')} \
        == {name: data for name, data in whole.items() if name not in relative}


def test_splits_are_drawn_and_noted_where_there_are_none(source, tmp_path):
    dataset = MELFolder(source)
    folder = tmp_path / 'no_split'
    write_mel_folder(dataset.entities, [replace(mention, split='') for mention in dataset.mentions], folder)
    assert 'Note: drawn by answer' in encode_folder(folder, tmp_path / 'out').format()
    loaded = load_tables(tmp_path / 'out')
    answers = {name: {loaded.mentions[i].answer for i in rows} for name, rows in loaded.split.items()}
    assert list(answers) == ['train', 'val', 'test']
    assert answers['train'].isdisjoint(answers['val'] | answers['test'])


def test_mentions_without_an_answer_are_in_no_split(source, tmp_path):
    dataset = MELFolder(source)
    first, second, *rest = dataset.mentions
    folder = tmp_path / 'some'
    mentions = [replace(first, answer=None), replace(second, answer=None, nil=True), *rest]
    write_mel_folder(dataset.entities, mentions, folder)
    encode_folder(folder, tmp_path / 'out')
    loaded = load_tables(tmp_path / 'out')
    rows = torch.cat(list(loaded.split.values())).tolist()
    assert sorted(rows) == list(range(1, len(dataset.mentions)))
    assert loaded.candidates.gold[:2].tolist() == [-1, -1]


def test_pictures_that_cannot_be_used_are_told(source, tmp_path):
    folder = shutil.copytree(source, tmp_path / 'source')
    first, second, third, *_ = sorted((folder / 'images').iterdir())
    first.write_bytes(b'no picture')
    second.write_bytes(b'no picture')
    third.unlink()
    text = encode_folder(folder, tmp_path / 'out').format()
    assert '3 pictures could not be used, and count as missing (2 not an image, 1 missing); the first: ' in text


def test_no_candidates_at_all(source, tmp_path):
    dataset = MELFolder(source)
    write_mel_folder(dataset.entities, [replace(m, candidates=()) for m in dataset.mentions], tmp_path / 'bare')
    with pytest.raises(ValueError, match='has candidates; retrieve some first'):
        encode_folder(tmp_path / 'bare', tmp_path / 'out')


@pytest.mark.parametrize('layout', ['wikidiverse', 'wikimel'])
def test_preprocessed_folder_becomes_tables(layout, tmp_path):
    folder = tmp_path / 'npy'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split in ('train', 'valid', 'test'):
        (tmp_path / split).mkdir()
        write_data(tmp_path / split, {**DEFAULTS, 'dataset': layout}, rng)
        for path in (tmp_path / split).iterdir():
            shutil.copy(path, folder / path.name.replace('_test', f'_{split}'))
    encode_folder(folder, tmp_path / 'out')
    loaded = load_tables(tmp_path / 'out')
    assert {name: rows.numel() for name, rows in loaded.split.items()} \
        == dict.fromkeys(('train', 'val', 'test'), DEFAULTS['num_mentions'])
    for name, split in (('train', 'train'), ('val', 'valid'), ('test', 'test')):
        tables, candidates = preprocessed_tables(DRINPreprocessed(folder, split))
        own = loaded.candidates.select(loaded.split[name])
        for edge_type, weight in candidates.weight.items():
            assert own.weight[edge_type].equal(weight)
        for node_type in NODE_TYPES[:2]:
            assert loaded.tables.x[node_type][loaded.split[name]].equal(tables.x[node_type])
        for node_type in NODE_TYPES[2:]:
            assert loaded.tables.x[node_type][own.entity].equal(tables.x[node_type][candidates.entity])
        assert own.y.equal(candidates.y)
    with pytest.raises(ValueError, match='features alone'):
        loaded.tables_of([])


def test_candidates_of_records_must_be_known(source):
    dataset = MELFolder(source)
    with pytest.raises(ValueError, match=r"1 candidates are not in the knowledge base of 40 entities.*'nobody'"):
        Candidates.from_records([replace(dataset.mentions[0], candidates=('nobody', ))], dataset.entities)
