import sys
from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from drin_pyg.evaluation import evaluate_scores
from drin_pyg.nn import DRIN
from drin_pyg.training import data_module, load_run, model_card, predict


@pytest.fixture(scope='module')
def run(run_folder):
    recipe, model, data = load_run(run_folder)
    module = data_module(data, recipe)
    return recipe, model, data, evaluate_scores(predict(model, module, 'test'), module.lists('test'))


def test_figures_are_those_of_the_run(run):
    card = ModelCard(model_card(*run, data_name='EmojiMEL', repo_id='someone/linker', license='mit'))
    metrics = run[3]
    found = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert found == {**{f'hits@{k}': round(hit, 4) for k, hit in metrics.hits.items()}, 'mrr': round(metrics.mrr, 4)}
    assert {(r.dataset_name, r.dataset_split) for r in card.data.eval_results} == {('EmojiMEL', 'test')}
    assert (card.data.license, card.data.library_name) == ('mit', 'drin_pyg')
    assert f'| Hits@1 | {metrics.hits[1]:.2%} ± {metrics.hits_error[1]:.2%} | {metrics.conditional_hits[1]:.2%} |' in \
        card.text
    assert f'{metrics.num_mentions:,} mentions of the split `test` of EmojiMEL, which neither' in card.text
    assert f'{metrics.recall:.2%} of the mentions' in card.text


def test_it_says_how_the_model_was_made(run):
    recipe, model, data, metrics = run
    text = model_card(*run, repo_id='someone/linker', notes={'license': 'pictures are CC-BY'})
    assert "DRIN.from_pretrained('someone/linker')" in text
    assert f'{sum(p.numel() for p in model.parameters()):,} parameters' in text
    assert f'| learning rate (Adam) | `{recipe.lr}` |' in text
    assert '| hidden_channels | `32` |' in text
    assert all(f'| `{t}` | {encoder.in_channels} |' in text for t, encoder in model.encoders.items())
    assert f'{data.tables.num_entities:,} entities' in text
    assert 'license: pictures are CC-BY' in text
    assert 'preset `offline`' in text
    assert 'leaks' not in text
    assert 'leaks' in model_card(replace(recipe, gold_appended=True), model, data, metrics)


@pytest.mark.parametrize(('split', 'caution'), [('train', '**which the model was trained on**'),
                                                ('val', '**by which the best epoch was chosen**')])
def test_it_warns_of_figures_that_flatter(run, split, caution):
    assert caution in model_card(*run, split=split)


def test_data_that_came_as_features(run):
    recipe, model, data, metrics = run
    assert 'came as features' in model_card(recipe, model, replace(data, preset=None), metrics)


def test_it_goes_with_the_model(run, tmp_path):
    text = model_card(*run)
    folder = run[1].save_pretrained(tmp_path / 'model', card=text)
    assert (folder / 'README.md').read_text(encoding='utf-8') == text
    assert DRIN.from_pretrained(folder).config() == run[1].config()


def test_without_huggingface_hub(run, monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(ImportError, match='pip install huggingface_hub'):
        model_card(*run)
