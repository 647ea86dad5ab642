"""The command as a user meets it: a process, its output and its exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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

    result = run('link', run_folder, '--sentence', 'A white bird with a long neck swam on the lake.', '--mention', 'bird', '--image',
                 EXAMPLES / 'swan.png', '-q')
    assert result.returncode == 0, result.stderr
    assert 'swan' in result.stdout.splitlines()[1]
