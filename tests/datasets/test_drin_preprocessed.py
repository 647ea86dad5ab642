import json

import numpy as np
import pytest
import torch

from drin_pyg.datasets.drin_preprocessed import DRINPreprocessed
from drin_pyg.features import NIL, preprocessed_tables
from drin_pyg.vocabulary import ENTITY_IMAGE, ENTITY_TEXT, IMAGE_IMAGE, MENTION_IMAGE, MENTION_TEXT, TEXT_IMAGE
from tests.evaluation.published_reference import DEFAULTS, read_inputs, write_data

N, R = DEFAULTS['num_mentions'], DEFAULTS['num_candidates']
MENTION_FILES = [f'{name}_test.npy' for name in (
    'mention-text-feature', 'mention-text-mask', 'start-pos', 'end-pos', 'mention-image-feature',
    'mention-object-feature', 'mention-object-score', 'similarity-miet', 'similarity-eimt', 'answer')]
ENTITY_FILES = {
    'wikidiverse': [f'entity-{name}_test.npy' for name in ('attr-feature', 'image-feature', 'object-feature',
                                                           'object-score')],
    'wikimel': ['entity-attr-feature.npy', 'entity-attr-mask.npy', 'entity-image-feature_all.npy',
                'entity-object-feature_all.npy', 'entity-object-score_all.npy'],
}
FILES = [(layout, name) for layout in ENTITY_FILES for name in (*MENTION_FILES, *ENTITY_FILES[layout])]
layouts = pytest.mark.parametrize('layout', ENTITY_FILES)
each_file = pytest.mark.parametrize(('layout', 'name'), [*FILES, ('wikimel', 'entity-name-raw_test.npy')])


@pytest.fixture
def folder(tmp_path, layout):
    write_data(tmp_path, {**DEFAULTS, 'dataset': layout}, np.random.default_rng(0))
    return tmp_path


def rewrite(path, change):
    np.save(path, change(np.load(path)))


@layouts
def test_sizes(folder, layout):
    dataset = DRINPreprocessed(folder)
    assert (dataset.layout, len(dataset), dataset.num_candidates) == (layout, N, R)
    assert dataset.entity_row.shape == (N, R + 1)


@layouts
def test_big_arrays_stay_on_disk(folder, layout):
    dataset = DRINPreprocessed(folder)
    assert isinstance(dataset.mention_text, np.memmap)
    assert isinstance(dataset.entity_image, np.memmap)


@pytest.mark.parametrize('layout', ['wikidiverse'])
def test_wikidiverse_has_a_row_for_each_candidate(folder):
    assert DRINPreprocessed(folder).entity_row.flatten().tolist() == list(range(N * (R + 1)))


@pytest.mark.parametrize('layout', ['wikimel'])
def test_wikimel_finds_rows_by_name(folder):
    names = np.load(folder / 'entity-name-raw_test.npy').reshape(N, R + 1)
    rows = json.loads((folder / 'qid2idx.json').read_text())
    dataset = DRINPreprocessed(folder)
    assert '__nil__' in names
    assert all(dataset.entity_row[n, c] == rows[names[n, c]] for n in range(N) for c in range(R + 1))


@layouts
@pytest.mark.parametrize('gold_appended', [False, True])
def test_tables_hold_what_the_files_do(folder, layout, gold_appended):
    tables, candidates = preprocessed_tables(DRINPreprocessed(folder), gold_appended=gold_appended,
                                             dtype=torch.float64)
    inputs = read_inputs(folder, {**DEFAULTS, 'dataset': layout}, gold_appended)
    columns = R + gold_appended
    torch.testing.assert_close(tables.x[MENTION_TEXT], inputs['mention_text'])
    torch.testing.assert_close(tables.x[MENTION_IMAGE], inputs['mention_image'])
    for node_type, name in ((ENTITY_TEXT, 'entity_text'), (ENTITY_IMAGE, 'entity_image')):
        torch.testing.assert_close(tables.x[node_type][candidates.entity].view(N, columns, -1), inputs[name])
    for edge_type, weight in ((TEXT_IMAGE, inputs['weights'][1]), (IMAGE_IMAGE, inputs['weights'][3])):
        torch.testing.assert_close(candidates.weight[edge_type].view(N, columns), weight)


@layouts
def test_answers(folder, layout):
    dataset = DRINPreprocessed(folder)
    _, candidates = preprocessed_tables(dataset)
    _, appended = preprocessed_tables(dataset, gold_appended=True)
    answer = np.load(folder / 'answer_test.npy')
    assert (answer == R).any()
    for n in range(N):
        assert candidates.gold[n] == (NIL if answer[n] == R else dataset.entity_row[n, answer[n]])
        assert appended.gold[n] == dataset.entity_row[n, R]


@each_file
def test_missing_file_is_named(folder, layout, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}' is missing; a {layout} folder"):
        DRINPreprocessed(folder)


@each_file
@pytest.mark.parametrize('content', [b'', b'not an array'])
def test_corrupt_file_is_named(folder, layout, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}' is not a readable .npy array"):
        DRINPreprocessed(folder)


@each_file
def test_pickled_array_is_refused(folder, layout, name):
    rewrite(folder / name, lambda array: array.astype(object))
    with pytest.raises(ValueError, match=f"{name}' is not a readable .npy array"):
        DRINPreprocessed(folder)


@pytest.mark.parametrize(('layout', 'name'), [(layout, name) for layout, name in FILES if 'image-feature' in name])
def test_features_without_a_width_are_named(folder, layout, name):
    rewrite(folder / name, lambda array: array[..., :0])
    with pytest.raises(ValueError, match=f'{name}.* must have .* dimensions of numbers, got .*, 0'):
        DRINPreprocessed(folder)


@each_file
def test_cut_off_file_is_named(folder, layout, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-8])
    with pytest.raises(ValueError, match=f"{name}' is not a readable .npy array"):
        DRINPreprocessed(folder)


@pytest.mark.parametrize(('layout', 'name'), FILES)
def test_rows_that_do_not_fit_are_named(folder, layout, name):
    # The first file of each side sets the number; any other that differs is named.
    rewrite(folder / name, lambda array: np.concatenate([array, array[:1]]))
    with pytest.raises(ValueError, match=f'{N}.*rows|{N + 1}.*rows|entity rows'):
        DRINPreprocessed(folder)


@pytest.mark.parametrize('layout', ['wikimel'])
def test_unknown_candidate_name(folder):
    rewrite(folder / 'entity-name-raw_test.npy', lambda names: np.where(names == '__nil__', 'Q9', names))
    with pytest.raises(ValueError, match=r"1 candidate names .* are not in qid2idx.json, the first is 'Q9'"):
        DRINPreprocessed(folder)


@pytest.mark.parametrize('layout', ['wikimel'])
def test_a_name_too_many(folder):
    rewrite(folder / 'entity-name-raw_test.npy', lambda names: np.append(names, '__nil__'))
    with pytest.raises(ValueError, match=rf'has {N * (R + 1) + 1} candidate names for \[{N}, {R + 1}\] candidates'):
        DRINPreprocessed(folder)


@pytest.mark.parametrize('layout', ['wikimel'])
def test_row_beyond_the_entities(folder):
    rows = json.loads((folder / 'qid2idx.json').read_text())
    (folder / 'qid2idx.json').write_text(json.dumps({**rows, '__nil__': 99}))
    with pytest.raises(ValueError, match='has 9 entity rows, but candidates point at row 99'):
        DRINPreprocessed(folder)


@pytest.mark.parametrize('layout', ['wikidiverse'])
@pytest.mark.parametrize(('names', 'change', 'message'), [
    (['similarity-miet'], lambda array: array[:, 1:],
     rf"'similarity-miet' and 'similarity-eimt' .* do not fit together: \[{N}, {R}\] and \[{N}, {R + 1}\]"),
    (['mention-text-feature'], lambda array: array[..., 1:], "'mention-text-feature' and 'entity-attr-feature'"),
    (['entity-object-feature', 'entity-object-score'], lambda array: array.repeat(2, 1), 'one object of each entity'),
    (['mention-object-feature', 'entity-object-feature'], lambda array: array.repeat(2, 2), 'one row of each object'),
    (['similarity-miet', 'similarity-eimt'], lambda array: array[:, :0], r'must have 2 dimensions of numbers, got .*0'),
])
def test_shapes_that_do_not_fit_are_named(folder, names, change, message):
    for name in names:
        rewrite(folder / f'{name}_test.npy', change)
    with pytest.raises(ValueError, match=message):
        DRINPreprocessed(folder)


@pytest.mark.parametrize('layout', ['wikidiverse'])
@pytest.mark.parametrize(('name', 'value', 'message'), [
    ('start-pos', -1, '1 mentions .* begin before their first token, the first is mention 3'),
    ('end-pos', 0, '1 mentions .* have an empty token span, the first is mention 3'),
    ('end-pos', 9, '1 mentions .* end beyond their 9 tokens, the first is mention 3'),
    ('answer', R + 1, f'must lie in 0..{R} .*; mention 3 has {R + 1}'),
    ('answer', -1, f'must lie in 0..{R} .*; mention 3 has -1'),
])
def test_impossible_value_is_named(folder, name, value, message):
    def change(array):
        array[3] = value
        return array

    rewrite(folder / f'{name}_test.npy', change)
    with pytest.raises(ValueError, match=message):
        DRINPreprocessed(folder)


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='is no folder'):
        DRINPreprocessed(tmp_path / 'gone')


def test_unknown_split(tmp_path):
    with pytest.raises(ValueError, match="has the splits train, valid, test; got 'val'"):
        DRINPreprocessed(tmp_path, 'val')
