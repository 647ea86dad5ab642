"""`--json` of every command that has it: one JSON value on standard output and nothing else."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
import typer

import drin_pyg.demo
import drin_pyg.evaluation
import drin_pyg.experiments
from drin_pyg.cli import app
from drin_pyg.datasets import EmojiMEL, write_mel_folder
from drin_pyg.evaluation import rank_metrics
from tests.demo.test_report import results  # noqa: F401
from tests.evaluation.published_reference import write_folder
from tests.experiments.test_table import folders, table  # noqa: F401
from tests.test_cli import run

COMMANDS = typer.main.get_command(app).commands
SMALL = ('--epochs', 1, '--width', 8, '--layers', 0)


def refuse(token):
    raise AssertionError(f'{token} is no JSON')


def printed(*arguments):
    """The one JSON value that a command prints."""
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout, parse_constant=refuse)


@pytest.fixture(scope='module')
def place(run_folder, tmp_path_factory):
    """A folder with a trained run, a small data set of records, published numbers and mentions to link."""
    folder = tmp_path_factory.mktemp('json')
    shutil.copytree(run_folder, folder / 'run')
    emoji = EmojiMEL()
    entities = emoji.entities[::45]
    known = {entity.id for entity in entities}
    mentions = [replace(mention, candidates=()) for mention in emoji.mentions if mention.answer in known]
    write_mel_folder(entities, mentions, folder / 'own', copy_images=True)
    listed = [replace(mention, candidates=tuple(sorted(known))[:6]) for mention in mentions]
    write_mel_folder(entities, listed, folder / 'listed', copy_images=True)
    write_folder(folder / 'published')
    (folder / 'mentions.jsonl').write_text('{"sentence": "it rains", "mention": "rain"}\n')
    return folder


# Command to its arguments, and what its JSON must hold.
CALLS = {
    'describe': (['own', '-q'], {'entities', 'mentions', 'findings', 'unusable'}),
    'convert': (['own', 'converted'], {'folder', 'entities', 'mentions', 'findings'}),
    'retrieve': (['own', 'retrieved', '-k', 3, '--method', 'name', '-q'], {'name'}),
    'encode': (['listed', '--out', 'tables', '-q'], {'folder', 'preset', 'shapes', 'notes', 'unusable', 'findings'}),
    'audit': (['own', '-q'], {'overlaps', 'distance'}),
    'train': (['emoji', '--out', 'trained', *SMALL, '-q'], {'run', 'best_val_mrr', 'epochs', 'seconds', 'calibration'}),
    'evaluate': (['run', '-q'], {'num_mentions', 'recall', 'hits', 'mrr'}),
    'calibrate': (['run', '-q'], {'temperature', 'threshold', 'figures'}),
    'parity': (['published'], {'differences', 'largest', 'tolerance', 'within'}),
    'index': (['run', '-q'], {'folder', 'entities', 'bytes', 'dtype'}),
    'link': (['run', '--sentence', 'it rains', '--mention', 'rain', '-q'], {'candidates'}),
    'link-many': (['run', 'mentions.jsonl', '--out', 'links.jsonl', '-q'], {'links', 'linked', 'not_linked'}),
    'diagnose': (['run', '--split', 'val', '-q'], {'weights', 'ablations', 'findings'}),
    'explain': (['run', '--mention', EmojiMEL().mentions[0].id, '--algorithm', 'captum', '-q'],
                {'mention', 'algorithm', 'candidates'}),
}
# Commands that train many models: what they print is tested below, with results made by hand.
LONG = {'ablate', 'demo'}


def test_every_command_that_has_it_is_called_here():
    having = {name for name, command in COMMANDS.items() if any('--json' in p.opts for p in command.params)}
    assert having == set(CALLS) | LONG


@pytest.mark.parametrize('command', CALLS)
def test_json(command, place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr('drin_pyg.evaluation.diagnose.paired_test', lambda a, b, seed: 1.0)  # takes the longest
    arguments, keys = CALLS[command]
    assert keys <= set(printed(command, *arguments, '--json'))


def test_studies_by_name(place, monkeypatch):
    monkeypatch.chdir(place)
    studies = printed('ablate', 'emoji', '--out', 'studies', '--list', '--json')
    assert studies[0]['study'] == 'edges'
    assert studies[0]['variants'] == ['DRIN', 'static edges', 'vector edges']
    assert not (place / 'studies').exists()


def test_studies(table, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(drin_pyg.experiments, 'ablate', lambda *arguments, **options: [table])
    study, = printed('ablate', 'emoji', '--out', tmp_path, '--study', 'edges', '--json', '-q')
    assert (study['study'], study['base']) == ('things', 'base')
    assert study['rows'] == table.rows()
    assert study['rows'][0]['p'] is None


def test_demo(results, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(drin_pyg.demo, 'run_demo', lambda *arguments, **options: results)
    shown = printed('demo', '--out', tmp_path / 'report', '--json', '-q')
    written = json.loads((tmp_path / 'report' / 'results.json').read_text())
    assert shown == {**written, 'report': str(tmp_path / 'report' / 'index.html'),
                     'run': str(tmp_path / 'report' / 'best')}


def test_links_and_figures_do_not_mix(place, monkeypatch):
    monkeypatch.chdir(place)
    result = run('link-many', 'run', 'mentions.jsonl', '--out', 'new.jsonl', '--json', '-q')
    assert json.loads(result.stdout) == {'links': 'new.jsonl', 'linked': 1, 'not_linked': 0}
    assert len((place / 'new.jsonl').read_text().splitlines()) == 1


def test_no_number_is_null(place, monkeypatch):
    # Without an answer among the candidates there is no conditional figure.
    monkeypatch.chdir(place)
    monkeypatch.setattr(drin_pyg.evaluation, 'evaluate_scores', lambda scores, lists, tie: rank_metrics(
        torch.full((3, ), torch.inf), tie))
    found = printed('evaluate', 'run', '--json', '-q')
    assert found['conditional_mrr'] is None
    assert found['mean_rank'] is None
    assert found['mrr'] == 0
