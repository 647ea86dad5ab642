import shutil

import pytest
from huggingface_hub import ModelCard

from drin_pyg.evaluation import evaluate_scores
from drin_pyg.training import data_module, load_run, predict
from tests.test_cli import run


@pytest.fixture
def folder(run_folder, tmp_path):
    return shutil.copytree(run_folder, tmp_path / 'run')  # the card goes into it


@pytest.mark.parametrize('split', ['test', 'val'])
def test_card(folder, split):
    result = run('card', folder, '-q', '--split', split, '--repo', 'someone/linker', '--license', 'mit')
    path = folder / 'model' / 'README.md'
    assert (result.returncode, result.stdout) == (0, f'Model card: {path}\n')
    recipe, model, data = load_run(folder)
    module = data_module(data, recipe)
    metrics = evaluate_scores(predict(model, module, split), module.lists(split))
    card = ModelCard.load(path)
    assert card.data.model_name == 'DRIN for entity linking on EmojiMEL'
    assert {r.metric_type: r.metric_value for r in card.data.eval_results}['hits@1'] == round(metrics.hits[1], 4)
    assert "from_pretrained('someone/linker')" in card.text


def test_data_may_be_named(folder):
    assert run('card', folder, '-q', '--name', 'Emoji 16').returncode == 0
    assert '# DRIN for entity linking on Emoji 16\n' in (folder / 'model' / 'README.md').read_text(encoding='utf-8')


def test_no_run(tmp_path):
    result = run('card', tmp_path / 'nowhere')
    assert result.returncode == 2
    assert 'is no training run' in result.stderr
