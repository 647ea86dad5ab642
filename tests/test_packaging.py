"""What is built from a checkout, and what it is worth where it is installed. Nothing is downloaded."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
import typer
import yaml

from drin_pyg.cli import app
from drin_pyg.datasets import EmojiMEL

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
PARTS = ('benchmarks', 'docs', 'drin_pyg', 'examples', 'tests')  # folders of an sdist; other files lie beside them
RUBBISH = ('tests/__pycache__/test_cli.cpython-311.pyc', 'docs/_build/index.html', 'report/index.html',
           'docs/notebooks/01.ipynb', 'docs/jupyter_execute/01.ipynb', '.pytest_cache/README.md',
           'drin_pyg/nn/__pycache__/drin.cpython-311.pyc')
# The checkout's own import path and caches must not help.
BARE = {name: value for name, value in os.environ.items() if name not in ('PYTHONPATH', 'DRIN_PYG_CACHE')}


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()}


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A copy of the checkout without what git ignores; then some rubbish that a checkout gathers."""
    folder = tmp_path_factory.mktemp('packaging') / 'source'
    ignored = shutil.ignore_patterns('__pycache__', '_build', 'jupyter_execute', '*.egg-info', '.ipynb_checkpoints',
                                     '.*.tmp', '.DS_Store')
    for name in PARTS:
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.rmtree(folder / 'docs' / 'notebooks', ignore_errors=True)  # what `make docs` copies there
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith('.'):
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope='module')
def built(source):
    """An sdist, and a wheel that was made from it. `whole` is what the checkout holds."""
    whole = files_of(source)
    for name in RUBBISH:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    result = subprocess.run([sys.executable, '-m', 'build', '--no-isolation', '--outdir', str(source / 'dist'),
                             str(source)], capture_output=True, text=True, timeout=500, env=BARE)
    assert result.returncode == 0, result.stdout + result.stderr
    sdist, = (source / 'dist').glob('*.tar.gz')
    wheel, = (source / 'dist').glob('*.whl')
    return whole, sdist, wheel


def test_sdist_holds_all_that_a_test_run_needs(built):
    whole, sdist, _ = built
    with tarfile.open(sdist) as file:
        names = {Path(member.name).relative_to(sdist.name.removesuffix('.tar.gz')).as_posix()
                 for member in file.getmembers() if member.isfile()}
    made = {name for name in names if name == 'PKG-INFO' or name.startswith('drin_pyg.egg-info/')}
    assert names - made == whole - made  # a checkout has none, an unpacked sdist has


def test_wheel_holds_the_package_alone(built):
    whole, _, wheel = built
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    info = f'drin_pyg-{PROJECT["version"]}.dist-info/'
    assert {name for name in names if not name.startswith(info)} \
        == {name for name in whole if name.startswith('drin_pyg/')}
    assert {f'{info}licenses/{name}' for name in PROJECT['license-files']} <= names
    assert 'drin_pyg/datasets/data/emoji_mel/mentions.jsonl.gz' in names
    assert {'drin_pyg/py.typed', 'drin_pyg/demo/templates/report.html'} <= names


def test_metadata(built):
    with zipfile.ZipFile(built[2]) as file:
        metadata = message_from_bytes(file.read(f'drin_pyg-{PROJECT["version"]}.dist-info/METADATA'))
        commands = file.read(f'drin_pyg-{PROJECT["version"]}.dist-info/entry_points.txt').decode()
    assert metadata['Version'] == PROJECT['version']
    assert metadata['License-Expression'] == 'MIT'
    assert metadata['Requires-Python'] == '>=3.11'
    assert metadata['Description-Content-Type'] == 'text/markdown'
    assert set(metadata.get_all('Provides-Extra')) == set(PROJECT['optional-dependencies'])
    always = [line for line in metadata.get_all('Requires-Dist') if 'extra ==' not in line]
    assert {re.split('[<>=]', line)[0] for line in always} \
        == {re.split('[<>=]', line)[0] for line in PROJECT['dependencies']}
    assert 'drin-pyg = drin_pyg.cli:main' in commands


def test_citation():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    paper = citation['preferred-citation']
    assert (citation['cff-version'], citation['type'], paper['type']) == ('1.2.0', 'software', 'conference-paper')
    assert citation['version'] == PROJECT['version']
    assert citation['license'] == PROJECT['license']
    for work in (citation, paper):  # what the schema asks for
        assert {'title', 'authors'} <= set(work)
        assert all(set(author) in ({'name'}, {'family-names', 'given-names'}) for author in work['authors'])
    assert citation['message']


@pytest.mark.parametrize('form', sorted((ROOT / '.github' / 'ISSUE_TEMPLATE').glob('[!c]*.yml')), ids=lambda p: p.stem)
def test_issue_forms(form):
    content = yaml.safe_load(form.read_text(encoding='utf-8'))
    assert {'name', 'description', 'body'} <= set(content)
    ids = [part['id'] for part in content['body']]
    assert len(ids) == len(set(ids))
    for part in content['body']:
        assert part['type'] in ('input', 'textarea')
        assert part['attributes']['label']
    named = re.findall(r'drin-pyg ([a-z-]+)', form.read_text(encoding='utf-8'))
    assert {name for name in named if not name.startswith('--')} <= set(typer.main.get_command(app).commands)


@pytest.fixture(scope='module')
def installed(built, tmp_path_factory):
    """A fresh environment with the wheel in it; the libraries that it needs are those of this environment."""
    folder = tmp_path_factory.mktemp('installed')
    venv.create(folder / 'env', with_pip=False)
    python = folder / 'env' / 'bin' / 'python'
    result = subprocess.run([sys.executable, '-m', 'pip', '--python', str(python), 'install', '--no-deps', '--no-index',
                             '--no-cache-dir', str(built[2])], capture_output=True, text=True, timeout=300, env=BARE)
    assert result.returncode == 0, result.stdout + result.stderr
    own = next((folder / 'env' / 'lib').glob('python*/site-packages'))
    (own / 'libraries.pth').write_text(''.join(f'{path}\n' for path in sorted(
        {sysconfig.get_path('purelib'), sysconfig.get_path('platlib')})))
    return folder


def call(installed, *command):
    result = subprocess.run([installed / 'env' / 'bin' / command[0], *command[1:]], capture_output=True, text=True,
                            cwd=installed, env=BARE, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_command_is_there(installed):
    assert 'Usage: drin-pyg' in call(installed, 'drin-pyg', '--help')
    assert f'drin_pyg {PROJECT["version"]}\n' in call(installed, 'drin-pyg', '--version')


def test_the_data_is_there(installed):
    code = 'import drin_pyg; from drin_pyg.datasets import EmojiMEL; data = EmojiMEL(); ' \
           'data.mentions[0].pictures[0].open(); print(drin_pyg.__file__, len(data.mentions), len(data.entities))'
    file, mentions, entities = call(installed, 'python', '-W', 'ignore', '-c', code).split()
    assert Path(file).is_relative_to(installed / 'env')
    assert (int(mentions), int(entities)) == (len(EmojiMEL().mentions), len(EmojiMEL().entities))
