import json
from pathlib import Path

import numpy as np
import pytest
import torch

from drin_pyg.evaluation.parity import load_published, published_parity
from tests.evaluation.published_reference import RELATIONS, expected_of, write_folder

GOLDEN = Path(__file__).resolve().parents[3] / 'shared' / 'golden'
TOLERANCE = 1e-9

CONFIGURATIONS = {
    'no layer': {'num_layers': 0, 'steps': 2},
    'one layer': {'num_layers': 1, 'steps': 2},
    'two layers': {'num_layers': 2, 'steps': 4},
    'three layers': {'num_layers': 3, 'steps': 2},
    'static': {'edge_update': 'static', 'steps': 2},
    'vector': {'edge_feature': 'vector', 'steps': 2},
    'vector, three layers': {'edge_feature': 'vector', 'num_layers': 3},
    'vector, static': {'edge_feature': 'vector', 'edge_update': 'static', 'steps': 2},
    'vector, no bias': {'edge_feature': 'vector', 'w_m_bias': False, 'steps': 2},
    **{f'without {name}': {'off': [name], 'num_layers': 3, 'steps': 2} for name in RELATIONS},
    'vector, without image_text': {'edge_feature': 'vector', 'off': ['image_text']},
    'static, without text_text': {'edge_update': 'static', 'off': ['text_text']},
    'no relation': {'off': RELATIONS},
    'wikimel': {'dataset': 'wikimel', 'steps': 4},
    'wikimel, vector': {'dataset': 'wikimel', 'edge_feature': 'vector'},
    'wikimel, without image_image': {'dataset': 'wikimel', 'off': ['image_image'], 'steps': 2},
    'one candidate': {'num_candidates': 1, 'steps': 2},
    'a batch larger than the data': {'num_mentions': 3, 'batch': 5, 'steps': 2},
    'another margin': {'margin': 0.7, 'adam_lr': 0.1, 'steps': 4},
}


def change(path, key, difference):
    arrays = dict(np.load(path))
    arrays[key] = arrays[key] + difference
    np.savez(path, **arrays)


def change_config(folder, **options):
    config = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps({**config, **options}))


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path, steps=2)


@pytest.mark.parametrize('options', CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_equals_independent_reference(tmp_path, options):
    parity = published_parity(write_folder(tmp_path, **options))
    assert parity.largest < TOLERANCE, parity
    assert (parity.losses is None) == ('steps' not in options)


@pytest.mark.parametrize('dataset', ['wikidiverse', 'wikimel'])
def test_equals_independent_reference_on_other_data(tmp_path, dataset):
    assert published_parity(write_folder(tmp_path, seed=1, dataset=dataset)).largest < TOLERANCE


def test_appended_answer_changes_the_other_scores(folder):
    # Otherwise half of what is compared would be the same comparison again.
    expected = np.load(folder / 'expected.npz')
    assert np.abs(expected['scores'] - expected['scores_with_gold_appended'][:, :-1]).max() > 1e-3


@pytest.mark.parametrize('key', ['scores', 'scores_with_gold_appended', 'edge_weights', 'losses',
                                 'losses_with_gold_appended'])
def test_another_expected_number_shows(folder, key):
    change(folder / 'expected.npz', key, 1e-6)
    parity = published_parity(folder)
    assert getattr(parity, key) == pytest.approx(1e-6, rel=1e-3)
    assert parity.largest == getattr(parity, key)


@pytest.mark.parametrize('key', [
    'vertex_encoder.mention_text_encoder.final_layer.linear.weight', 'vertex_encoder.entity_image_linear.bias',
    'gcn_layers.0.w_u.weight', 'gcn_layers.0.w_v.bias', 'gcn_layers.1.w_h.bias', 'gcn_layers.1.layer_norm.weight'])
def test_another_parameter_shows(folder, key):
    shape = np.load(folder / 'parameters.npz')[key].shape
    change(folder / 'parameters.npz', key, np.linspace(0, 1e-3, np.prod(shape)).reshape(shape))
    parity = published_parity(folder)
    assert parity.scores > 1e-7
    assert parity.losses > 1e-7


def test_another_learning_rate_shows_in_the_losses_alone(folder):
    change_config(folder, adam_lr=0.02)
    parity = published_parity(folder)
    assert parity.losses > 1e-4
    assert parity.scores < TOLERANCE


def test_model_is_in_float64(folder):
    model = load_published(json.loads((folder / 'config.json').read_text()), folder / 'parameters.npz')
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}


@pytest.mark.parametrize('name', ['config.json', 'parameters.npz', 'expected.npz', 'similarity-eimt_test.npy'])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f'{name}. is missing'):
        published_parity(folder)


@pytest.mark.parametrize(('key', 'value'), [('edge_update', 'sometimes'), ('edge_feature', 'matrix')])
def test_unknown_option_is_named(folder, key, value):
    change_config(folder, **{key: value})
    with pytest.raises(ValueError, match=f"{key}='{value}'; known are"):
        published_parity(folder)


@pytest.mark.parametrize(('options', 'message'), [
    ({'hidden_dim': -1}, "config.json': 'hidden_dim' is out of range: -1"),
    ({'batch': 2**31}, "config.json': 'batch' is out of range: 2147483648"),
    ({'margin': '0.5'}, "config.json': 'margin' must be a number, got '0.5'"),
    ({'relations_enabled': {**dict.fromkeys(RELATIONS, 1), 'text_text': None}},
     "config.json': 'text_text' must be a number, got None"),
    ({'num_layers': 99}, r"'num_layers' is 99, but '.*parameters.npz' has \d\d arrays"),
])
def test_option_that_cannot_be_is_named(folder, options, message):
    change_config(folder, **options)
    with pytest.raises(ValueError, match=message):
        published_parity(folder)


def test_missing_option_is_named(folder):
    config = json.loads((folder / 'config.json').read_text())
    del config['margin']
    (folder / 'config.json').write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json' lacks 'margin'; it needs text_dim, image_dim,"):
        published_parity(folder)


def test_unknown_relation_is_named(folder):
    change_config(folder, relations_enabled={**dict.fromkeys(RELATIONS, 1), 'image_sound': 1})
    with pytest.raises((KeyError, ValueError), match='image_sound'):
        published_parity(folder)


def test_parameter_of_another_shape_is_named(folder):
    change_config(folder, hidden_dim=6)
    with pytest.raises(ValueError, match=r"final_layer.*is \[4, 5\]; config.json asks for \[6, 5\]"):
        published_parity(folder)


def test_missing_parameter_is_named(folder):
    arrays = dict(np.load(folder / 'parameters.npz'))
    del arrays['gcn_layers.1.w_h.weight']
    np.savez(folder / 'parameters.npz', **arrays)
    with pytest.raises(ValueError, match=r"lacks 'gcn_layers.1.w_h.weight'; it has gcn_layers.0"):
        published_parity(folder)


@pytest.mark.parametrize('key', ['scores', 'scores_with_gold_appended', 'edge_weights'])
def test_missing_expected_numbers_are_named(folder, key):
    arrays = dict(np.load(folder / 'expected.npz'))
    del arrays[key]
    np.savez(folder / 'expected.npz', **arrays)
    with pytest.raises(ValueError, match=f"expected.npz' lacks '{key}'"):
        published_parity(folder)


def test_expected_numbers_of_another_shape(folder):
    arrays = dict(np.load(folder / 'expected.npz'))
    np.savez(folder / 'expected.npz', **{**arrays, 'scores': arrays['scores'][:, 1:]})
    with pytest.raises(ValueError, match=r'Our numbers have shape \[6, 4\], the published ones \[6, 3\]'):
        published_parity(folder)


# ---- numbers of the published implementation itself

golden = pytest.mark.parametrize('name', ['wikidiverse-dynamic', 'wikidiverse-no-image-image', 'wikidiverse-static',
                                          'wikimel-dynamic'])


@pytest.fixture
def golden_folder(name):
    if not (GOLDEN / name).is_dir():
        pytest.skip(f"the published implementation's numbers are not at '{GOLDEN / name}'")
    return GOLDEN / name


@golden
def test_equals_the_published_implementation(golden_folder):
    parity = published_parity(golden_folder)
    assert parity.largest < TOLERANCE, parity


@golden
def test_reference_equals_the_published_implementation(golden_folder):
    # What the other tests of this file lean on.
    config = json.loads((golden_folder / 'config.json').read_text())
    config['steps'] = min(config['steps'], 5)
    parameters = {name: torch.from_numpy(value) for name, value in np.load(golden_folder / 'parameters.npz').items()}
    published = np.load(golden_folder / 'expected.npz')
    for name, value in expected_of(golden_folder, config, parameters).items():
        np.testing.assert_allclose(value, published[name][:len(value)], rtol=0, atol=TOLERANCE)
