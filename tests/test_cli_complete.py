"""Completion as a shell asks for it: the command in a process, the words so far in its environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from drin_pyg.cli import complete

ROOT = Path(__file__).resolve().parents[1]
COMMAND = 'from drin_pyg.cli import main; main()'


def completions(line, folder, *, after=''):
    """What bash gets at a tab after the line; `after` runs when the command has ended."""
    words = line.split(' ')
    environment = {**os.environ, '_DRIN_PYG_COMPLETE': 'complete_bash', 'COMP_WORDS': line,
                   'COMP_CWORD': str(len(words) - 1), 'PYTHONPATH': str(ROOT)}
    code = f'import atexit, sys\n{after}\n{COMMAND}'
    result = subprocess.run([sys.executable, '-c', code], env=environment, cwd=folder, capture_output=True, text=True,
                            timeout=120)
    assert result.stderr == ''
    return result.stdout.split()


@pytest.fixture
def folder(tmp_path):
    """Runs, tables and a data set, and folders that are none of them."""
    for marker in ('report/best/run.json', 'report/runs/a/run.json', 'tables/tables.json', 'data/mentions.jsonl',
                   'other/notes.txt', 'deep/a/b/c/run.json', 'od[d/run.json'):
        (tmp_path / marker).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / marker).touch()
    return tmp_path


@pytest.mark.parametrize(('line', 'expected'), [
    ('drin-pyg exp', ['explain', 'explore']),
    ('drin-pyg evaluate ', ['od[d', 'report/best', 'report/runs/a']),
    ('drin-pyg evaluate rep', ['report/best', 'report/runs/a']),
    ('drin-pyg evaluate od[', ['od[d']),
    ('drin-pyg link report/b', ['report/best']),
    ('drin-pyg evaluate other', []),
    ('drin-pyg train em', ['emoji']),
    ('drin-pyg train ', ['tables']),
    ('drin-pyg describe d', ['data']),
    ('drin-pyg train x --loss ', ['softmax', 'margin']),
    ('drin-pyg train x --without image', ['image_text', 'image_image']),
    ('drin-pyg ablate x --study s', ['sharing', 'swapped']),
    ('drin-pyg encode x --preset c', ['clip']),
    ('drin-pyg retrieve x y --method ', ['name', 'bm25', 'dense']),
    ('drin-pyg audit x --bind sentence_', ['sentence_and_image']),
])
def test_a_tab(folder, line, expected):
    assert completions(line, folder) == expected


def test_nobody_waits_for_pytorch(folder):
    after = "atexit.register(lambda: print('LOADED', *({'torch', 'numpy', 'torch_geometric'} & {*sys.modules}), 'END'))"
    for line in ('drin-pyg train x --without image', 'drin-pyg evaluate '):
        assert completions(line, folder, after=after)[-2:] == ['LOADED', 'END']


def test_the_script_for_a_shell_calls_the_command_by_its_name(tmp_path):
    result = subprocess.run([sys.executable, '-c', COMMAND, '--show-completion', 'zsh'], capture_output=True, text=True,
                            timeout=120, env={**os.environ, 'PYTHONPATH': str(ROOT),
                                              '_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION': '1'}, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert '_DRIN_PYG_COMPLETE=complete_zsh drin-pyg' in result.stdout


def test_names_are_those_of_the_library():
    from drin_pyg.evaluation.audit_keys import KINDS
    from drin_pyg.experiments import STUDIES
    from drin_pyg.features.presets import PRESETS
    from drin_pyg.linking.rankings import METHODS

    assert tuple(STUDIES) == complete.STUDIES
    assert tuple(PRESETS) == complete.PRESETS
    assert tuple(METHODS) == complete.METHODS
    assert tuple(KINDS) == complete.BINDINGS
