"""Notebooks run, and print what is stored in them. Cells tagged `varies` print what depends on the machine."""

import re
import sys
from pathlib import Path

import nbformat
import pytest

import drin_pyg

ROOT = Path(drin_pyg.__file__).parents[1]
FOLDER = ROOT / 'examples' / 'notebooks'
PATHS = sorted(FOLDER.glob('*.ipynb'))
TAGS = {'varies', 'hide-input'}
MAX_BYTES = 300_000
LINK = re.compile(r'(?<!!)\[[^\]]*\]\((?!https?:|#)([^)#\s]+)')

each_notebook = pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)


@pytest.fixture
def execute(monkeypatch):
    monkeypatch.setattr(sys, 'path', [str(FOLDER), *sys.path])
    from execute import execute

    # The kernel is a process of its own: it must find the package of this folder, and reach no hub.
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    return execute


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == 'code']


def markdown(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == 'markdown']


def printed(cell):
    """Streams and results of a cell as text; of a picture, that there is one."""
    texts = []
    for output in cell.outputs:
        if output.output_type == 'stream':
            texts.append((output.name, output.text))
        else:
            kinds = sorted(output.get('data', {}))
            texts.append((output.output_type, 'image/png' if 'image/png' in kinds else output.data['text/plain']))
    return texts


def differences(stored, fresh):
    """Cells whose output must be the same everywhere and is not: id, stored output, fresh output."""
    return [(old.id, printed(old), printed(new))
            for old, new in zip(code_cells(stored), code_cells(fresh), strict=True)
            if 'varies' not in old.metadata.get('tags', []) and printed(old) != printed(new)]


def test_there_are_seven():
    assert [path.stem[:2] for path in PATHS] == [f'{number:02}' for number in range(1, 8)]


@each_notebook
def test_runs_and_prints_what_is_stored(path, execute, tmp_path):
    fresh = execute(path, tmp_path)  # raises at the first error
    said = [text for cell in code_cells(fresh) for kind, text in printed(cell) if kind == 'stderr']
    assert said == []
    assert differences(nbformat.read(path, as_version=4), fresh) == []
    assert list(tmp_path.iterdir()) == []  # a notebook leaves no files behind


@each_notebook
def test_is_stored_executed(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {kind for cell in cells for kind, _ in printed(cell)}
    assert 'image/png' in {text for cell in cells for _, text in printed(cell)}
    assert kinds <= {'stdout', 'execute_result', 'display_data'}
    assert path.stat().st_size <= MAX_BYTES


@each_notebook
def test_metadata_says_nothing_of_the_machine(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata == {'kernelspec': {'display_name': 'Python 3', 'language': 'python', 'name': 'python3'},
                                 'language_info': {'name': 'python'}}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {'tags'}
        assert set(cell.metadata.get('tags', [])) <= TAGS
    text = path.read_text(encoding='utf-8')
    assert str(ROOT) not in text
    assert str(Path.home()) + '/' not in text


@each_notebook
def test_most_cells_are_compared(path):
    cells = code_cells(nbformat.read(path, as_version=4))
    varies = [cell for cell in cells if 'varies' in cell.metadata.get('tags', [])]
    assert len(varies) <= len(cells) / 2


@each_notebook
def test_says_what_for_and_where_next(path):
    texts = markdown(nbformat.read(path, as_version=4))
    first, last = texts[0], texts[-1]
    assert first.startswith(f'# {int(path.stem[:2])} · ')
    assert '**What you will be able to do**\n\n* ' in first
    assert '## Where next\n\n* [' in last
    for target in LINK.findall('\n'.join(texts)):
        assert (FOLDER / target).exists(), target


def test_is_listed_for_readers():
    for page in (ROOT / 'docs' / 'notebooks.md', ROOT / 'examples' / 'README.md'):
        text = page.read_text(encoding='utf-8')
        assert [path.name for path in PATHS if path.name not in text] == []


def test_what_is_not_the_same_is_found():
    def notebook(text, tags=(), name='stdout'):
        cell = nbformat.v4.new_code_cell('print(1)', outputs=[nbformat.v4.new_output('stream', name=name, text=text)])
        cell.id, cell.metadata['tags'] = 'a', list(tags)
        return nbformat.v4.new_notebook(cells=[cell])

    assert differences(notebook('1\n'), notebook('1\n')) == []
    assert differences(notebook('1\n'), notebook('2\n')) == [('a', [('stdout', '1\n')], [('stdout', '2\n')])]
    assert differences(notebook('1\n', ['varies']), notebook('2\n')) == []
    assert differences(notebook('1\n'), notebook('1\n', name='stderr')) != []
