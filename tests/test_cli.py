"""The command as a user meets it: a process, its output and its exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evaluation.published_reference import write_folder

EXAMPLES = Path(__file__).resolve().parents[1] / 'examples'


def run(*arguments, **environment):
    return subprocess.run([sys.executable, '-c', 'from drin_pyg.cli import main; main()', *map(str, arguments)],
                          capture_output=True, text=True, env={**os.environ, **environment}, timeout=300)


@pytest.mark.parametrize('command', [(), ('demo', ), ('train', ), ('evaluate', ), ('link', ), ('parity', )])
def test_help(command):
    result = run(*command, '--help')
    assert result.returncode == 0
    assert 'Usage' in result.stdout


@pytest.mark.parametrize(('arguments', 'message'), [
    (('train', '--nonsense'), 'No such option'),
    (('nonsense', ), 'No such command'),
    (('link', 'nowhere', '--sentence', 'x', '--mention', 'x'), "'nowhere' is no training run"),
    (('evaluate', 'nowhere'), "'nowhere' is no training run"),
    (('parity', 'nowhere'), 'config.json'),
    (('train', 'out', '--data', 'nowhere'), 'is missing'),
    (('train', 'out', '--without', 'nonsense'), "Unknown relation 'nonsense'"),
    (('link', 'nowhere', '--mention', 'x'), 'sentence'),
    (('train', 'out', '--epochs', '0'), 'epochs'),
])
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert 'Traceback' not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_evaluate_and_link(run_folder):
    result = run('evaluate', run_folder, '--split', 'val', '--json', '-q')
    assert result.returncode == 0, result.stderr
    metrics = json.loads(result.stdout)
    assert metrics['num_mentions'] == 391
    assert metrics['recall'] == 1
    assert 0.7 < metrics['hits']['1'] <= 1

    sentence = 'A white bird with a long neck swam on the lake.'
    image = EXAMPLES / 'swan.png'
    result = run('link', run_folder, '--sentence', sentence, '--mention', 'bird', '--image', image, '-q')
    assert result.returncode == 0, result.stderr
    assert 'swan' in result.stdout.splitlines()[1]


def test_train_and_resume(tmp_path):
    small = ('train', tmp_path / 'run', '--epochs', 1, '--width', 8, '--layers', 0, '-q')
    result = run(*small)
    assert result.returncode == 0, result.stderr
    assert 'Best validation MRR' in result.stdout
    refused = run(*small)
    assert refused.returncode == 2
    assert 'already holds a training run' in refused.stderr
    resumed = run(*small[:2], '--epochs', 2, *small[4:], '--resume')
    assert resumed.returncode == 0, resumed.stderr
    assert 'in 2 epochs' in resumed.stdout


def test_parity_prints_differences_and_fails_above_the_tolerance(tmp_path):
    write_folder(tmp_path / 'one')
    result = run('parity', tmp_path / 'one')
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'within the tolerance' in result.stdout
    result = run('parity', tmp_path / 'one', '--tolerance', '0')
    assert result.returncode == 1
    assert 'ABOVE' in result.stdout
