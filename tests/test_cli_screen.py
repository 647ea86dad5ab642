"""What commands print for people; what they print for programs has tests of its own (test_cli_json.py)."""

import json
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError

import pytest
import torch

import drin_pyg.demo
import drin_pyg.experiments
import drin_pyg.training
from drin_pyg.demo import format_table
from drin_pyg.experiments import make_study
from drin_pyg.features import MELData, save_tables
from drin_pyg.nn import DRIN
from drin_pyg.training import Recipe
from tests.demo.test_report import results  # noqa: F401
from tests.experiments.test_table import folders, table  # noqa: F401
from tests.test_cli import run
from tests.training.tables import make_tables


@pytest.fixture
def other_data(run_folder, emoji_data, monkeypatch):
    """Has commands find a run with its data changed."""
    recipe, model = Recipe.load(run_folder / 'recipe.yaml'), DRIN.from_pretrained(run_folder / 'model')

    def change(**changes):
        data = replace(emoji_data, **changes)
        monkeypatch.setattr(drin_pyg.training, 'load_run', lambda *_, **__: (recipe, model, data))

    return change


FEATURES_ALONE = {'mentions': (), 'entities': None, 'preset': None}


def test_version_of_what_is_not_installed(monkeypatch):
    def version(name):
        if name == 'torch_geometric':
            raise PackageNotFoundError(name)
        return '1.2.3'

    monkeypatch.setattr(sys.modules['drin_pyg.cli.app'], 'version', version)
    result = run('--version')
    assert result.returncode == 0
    assert result.stdout.splitlines()[1:3] == ['torch 1.2.3', 'torch_geometric is not installed']


@pytest.mark.parametrize('command', ['card', 'diagnose'])
def test_a_split_without_mentions_is_named(other_data, run_folder, emoji_data, command):
    for names, there in ((('train', 'val'), 'train, val'), ((), 'none at all')):
        other_data(split={name: emoji_data.split[name] for name in names})
        result = run(command, run_folder, '--split', 'test', '-q')
        assert result.returncode == 2
        assert f"no answered mentions of the split 'test'; there are {there}" in result.stderr
    assert not (run_folder / 'model' / 'README.md').exists()


def test_a_diagnosis(other_data, run_folder, emoji_data, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr('drin_pyg.evaluation.diagnose.paired_test', lambda a, b, seed: 1.0)  # takes the longest
    monkeypatch.setattr('drin_pyg.evaluation.diagnose_figures.write_diagnosis', lambda *it: written.append(it))
    other_data(split={'val': emoji_data.split['val'][:20]})
    result = run('diagnose', run_folder, '--split', 'val', '--out', tmp_path / 'out', '-q')
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith('20 mentions, 640 pairs, ')
    assert result.stdout.endswith(f'\n\nFigures and numbers: {tmp_path / "out"}\n')
    (found, folder), = written
    assert (found.num_mentions, folder) == (20, tmp_path / 'out')


def test_features_alone_are_explained_by_row(other_data, run_folder, emoji_data):
    other_data(**FEATURES_ALONE)
    own = emoji_data.candidates.select(torch.tensor([7]))
    command = ('explain', run_folder, '--algorithm', 'gnn', '-q', '--mention')
    result = run(*command, 7)
    assert result.returncode == 0, result.stderr
    shown = json.loads(run(*command, 7, '--json').stdout)['candidates']
    assert {int(item['entity']) for item in shown} <= set(own.entity.tolist())
    assert [int(item['entity']) for item in shown if item['is_gold']] == own.gold.tolist()
    assert all(item['entity'] in result.stdout for item in shown)
    for name in ('3597', '-1', 'nobody'):
        refused = run(*command, name)
        assert refused.returncode == 2
        assert f"There is no mention '{name}' among the 3,597 of the data" in refused.stderr


def test_a_row_is_no_mention_where_they_have_ids(other_data, run_folder, emoji_data):
    other_data(mentions=[replace(mention, id=f'm{mention.id}') for mention in emoji_data.mentions])
    result = run('explain', run_folder, '--mention', 7, '-q')
    assert result.returncode == 2
    assert "There is no mention '7' among the 3,597 of the data" in result.stderr


def test_features_alone_have_no_index(other_data, run_folder):
    other_data(**FEATURES_ALONE)
    result = run('index', run_folder, '-q')
    assert result.returncode == 2
    assert f"The data of '{run_folder}' came as features alone" in result.stderr
    assert not (run_folder / 'index').exists()


def test_what_is_to_be_said_of_the_data(tmp_path):
    data = MELData(*make_tables(), notes={'split': 'drawn by a child'})
    save_tables(data, tmp_path / 'tables', {'source': 'nowhere'})
    small = ('train', tmp_path / 'tables', '--epochs', 1, '--width', 8, '--layers', 0, '-q', '--out')
    result = run(*small, tmp_path / 'a')
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith('Note: drawn by a child\n')
    result = run(*small, tmp_path / 'b', '--json')
    assert result.stderr.startswith('Note: drawn by a child\n')
    assert json.loads(result.stdout)['epochs'] == 1


def test_studies_by_name(tmp_path):
    result = run('ablate', 'emoji', '--out', tmp_path / 'out', '--study', 'edges', '--study', 'loss', '--list')
    assert result.returncode == 0, result.stderr
    edges, loss = (make_study(name, Recipe()) for name in ('edges', 'loss'))
    assert result.stdout.splitlines() == [
        f'edges: {edges.question}', '  DRIN', '  static edges', '  vector edges',
        f'loss: {loss.question}', *(f'  {variant.name}' for variant in loss.variants)]
    assert not (tmp_path / 'out').exists()


def test_studies(table, tmp_path, monkeypatch):  # noqa: F811
    asked = []
    monkeypatch.setattr(drin_pyg.experiments, 'ablate', lambda *it, **_: asked.append(it) or [table, table])
    (tmp_path / 'recipe.yaml').write_text('lr: 0.5\n')
    result = run('ablate', 'emoji', '--out', tmp_path / 'out', '--study', 'edges', '--config',
                 tmp_path / 'recipe.yaml', '-q')
    assert result.returncode == 0, result.stderr
    assert result.stdout == f'{table.format()}\n\n' * 2 + f'Tables and figures: {tmp_path / "out"}\n'
    assert asked == [('emoji', tmp_path / 'out', ['edges'], replace(Recipe(), lr=0.5))]


def test_demo(results, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(drin_pyg.demo, 'run_demo', lambda *_, **__: results)
    result = run('demo', '--out', tmp_path / 'report', '-q')
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f'{format_table(results)}\n\nReport: {tmp_path / "report" / "index.html"}\n')
    assert f'drin-pyg link {tmp_path / "report" / "best"} ' in result.stdout
    assert (tmp_path / 'report' / 'index.html').is_file()
