"""The pages, without building them: their examples run, and what they name exists. `make docs` checks the rest."""

import ast
import doctest
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer

import drin_pyg
from drin_pyg.cli import app

ROOT = Path(drin_pyg.__file__).parents[1]
DOCS = ROOT / 'docs'
PAGES = [*sorted(page for page in DOCS.rglob('*.md') if '_build' not in page.parts), ROOT / 'README.md',
         ROOT / 'CONTRIBUTING.md', ROOT / 'benchmarks' / 'README.md', ROOT / 'examples' / 'README.md']
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding='utf-8') for page in PAGES}
BLOCK = re.compile(r'^```(\w*)[^\n]*\n(.*?)^```', re.MULTILINE | re.DOTALL)
COMMANDS = typer.main.get_command(app).commands
NOT_PUBLIC = {'cli', 'demo'}  # folders that are called by commands alone

each_page = pytest.mark.parametrize('page', TEXTS)


@pytest.fixture
def extensions(monkeypatch):
    monkeypatch.setattr(sys, 'path', [str(DOCS / 'extensions'), *sys.path])


def blocks(page, language):
    return [code for name, code in BLOCK.findall(TEXTS[page]) if name == language]


@pytest.mark.parametrize('page', [page for page in TEXTS if '>>>' in TEXTS[page]])
def test_examples_run(page):
    # Later examples of a page use what earlier ones made.
    test = doctest.DocTestParser().get_doctest('\n'.join(blocks(page, 'pycon')), {}, page, page, 0)
    report = []
    result = doctest.DocTestRunner().run(test, out=report.append)
    assert result.attempted == TEXTS[page].count('>>> ') > 0
    assert result.failed == 0, ''.join(report)


def test_the_walk_has_examples():
    assert '>>> ' in TEXTS['docs/guide.md']


MODULES = sorted('.'.join(path.relative_to(ROOT).with_suffix('').parts) for path in (ROOT / 'drin_pyg').rglob('*.py')
                 if '>>> ' in path.read_text(encoding='utf-8'))


@pytest.mark.parametrize('module', MODULES)
def test_examples_of_docstrings_run(module):
    report = []
    runner = doctest.DocTestRunner()
    tests = doctest.DocTestFinder(exclude_empty=True).find(import_module(module))
    for test in tests:
        runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, ''.join(report)
    text = ROOT.joinpath(*module.split('.')).with_suffix('.py').read_text(encoding='utf-8')
    assert sum(len(test.examples) for test in tests) == text.count('>>> ')


def test_what_most_programs_call_has_an_example():
    assert {'drin_pyg.nn.drin_conv', 'drin_pyg.nn.relation_conv', 'drin_pyg.nn.drin', 'drin_pyg.graph.candidate_batch',
            'drin_pyg.graph.pair_graph', 'drin_pyg.features.candidates', 'drin_pyg.features.pair_tables',
            'drin_pyg.evaluation.ranks'} <= set(MODULES)


@each_page
def test_python_blocks_import_what_exists(page):
    for code in blocks(page, 'python'):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module.split('.')[0] == 'drin_pyg':
                module = import_module(node.module)
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def calls(text):
    """Every `drin-pyg COMMAND ...` of a page: in lines of blocks (joined at backslashes), and in backquotes."""
    code = '\n'.join(body for _, body in BLOCK.findall(text)).replace('\\\n', ' ')
    inline = '\n'.join(re.findall(r'`([^`\n]+)`', BLOCK.sub('', text)))
    return re.findall(r'drin-pyg ([a-z][a-z-]*)([^|\n#]*)', f'{code}\n{inline}')


@each_page
def test_named_commands_and_options_exist(page):
    for name, rest in calls(TEXTS[page]):
        assert name in COMMANDS, f"there is no command 'drin-pyg {name}'"
        options = {option for parameter in COMMANDS[name].params for option in parameter.opts} | {'--help'}
        unknown = set(re.findall(r'(?<!\S)--[a-z][a-z-]*', rest)) - options
        assert unknown == set(), f'drin-pyg {name} has no {unknown}'


def test_calls_are_found():
    assert sum(len(calls(text)) for text in TEXTS.values()) > 50
    assert calls('```\n$ drin-pyg link RUN \\\n  --mention x # why --not\n```') == [('link', ' RUN    --mention x ')]
    assert calls('See `drin-pyg train --static`, or `make demo`.') == [('train', ' --static')]


@each_page
def test_links_lead_somewhere(page):
    text = BLOCK.sub('', TEXTS[page])
    for target in re.findall(r'\]\((?!https?:|#)([^)#\s]+)', text):
        assert (ROOT / page).parent.joinpath(target).exists(), target


def test_every_public_folder_has_a_page_of_all_its_names():
    folders = {path.parent.name for path in (ROOT / 'drin_pyg').glob('*/__init__.py')
               if '__all__' in path.read_text()} - NOT_PUBLIC
    listed = TEXTS['docs/reference/index.md'].split('```')[1].split()
    for folder in folders:
        assert f'.. public-names:: drin_pyg.{folder}\n' in TEXTS[f'docs/reference/{folder}.md']
        assert folder in listed
    assert {'nn', 'graph', 'linking'} <= folders


def test_index_names_are_on_the_reference_page():
    for name in drin_pyg.__all__:
        assert re.search(rf'`drin_pyg\.\w+\.{name}`', TEXTS['docs/reference/index.md']), name


def test_public_names_are_all_asked_for(extensions):
    pytest.importorskip('sphinx', reason="needs the extra 'docs'")
    import public_names

    folders = {path.parent.name for path in (ROOT / 'drin_pyg').glob('*/__init__.py')
               if '__all__' in path.read_text()} - NOT_PUBLIC
    assert set(public_names.PACKAGES) == folders
    every = {f'drin_pyg.{folder}.{name}' for folder in folders for name in import_module(f'drin_pyg.{folder}').__all__}
    every |= {f'drin_pyg.vocabulary.{name}' for name in ('EDGE_TYPES', 'METADATA', 'NODE_TYPES', 'RELATIONS')}
    assert public_names.missing_names(every) == []
    assert public_names.missing_names(every - {'drin_pyg.nn.DRINConv'}) == ['drin_pyg.nn.DRINConv',
                                                                          'drin_pyg.DRINConv']


def test_commands_are_written_from_their_help(extensions):
    import command_pages

    text = command_pages.commands_markdown()
    for name, command in COMMANDS.items():
        section = text.split(f'## drin-pyg {name}\n')[1].split('\n## ')[0]
        assert command.help.split('.')[0].split()[0] in section
        for parameter in command.params:
            for option in parameter.opts:
                assert option in section, f'{name} {option}'
    assert command_pages.MARKER in TEXTS['docs/reference/commands.md']


def test_links_to_files_outside(extensions, tmp_path):
    import outside_links

    for path in ('docs/data.md', 'benchmarks/dense.py', 'examples/notebooks/1.ipynb', 'examples/notebooks/x.py'):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    docs, notebooks = tmp_path / 'docs', tmp_path / 'examples' / 'notebooks'
    text = '[a](data.md#x) [b](../examples/notebooks/1.ipynb#y) [`c`](../benchmarks/dense.py) [d](../gone.md) [e](https://f)'
    assert outside_links.replace_links(text, docs, docs) == \
        '[a](data.md#x) [b](/notebooks/1.ipynb#y) `c` [d](../gone.md) [e](https://f)'
    text = '[a](../../docs/data.md#x) [b](1.ipynb) [c](x.py) tried[name](model)'
    assert outside_links.replace_links(text, notebooks, docs) == \
        '[a](/data.md#x) [b](/notebooks/1.ipynb) c tried[name](model)'


def test_notebooks_are_copied_into_the_site(extensions, tmp_path):
    import outside_links

    docs, notebooks = tmp_path / 'docs', tmp_path / 'examples' / 'notebooks'
    for folder in (docs, notebooks, docs / 'notebooks'):
        folder.mkdir(parents=True)
    for name, text in (('same', 'a'), ('changed', 'b')):
        (notebooks / f'{name}.ipynb').write_text(text)
        (docs / 'notebooks' / f'{name}.ipynb').write_text('a')
    (docs / 'notebooks' / 'gone.ipynb').write_text('c')
    (notebooks / 'execute.py').touch()
    before = (docs / 'notebooks' / 'same.ipynb').stat().st_mtime_ns
    outside_links.copy_pages(docs)
    assert {path.name: path.read_text() for path in (docs / 'notebooks').iterdir()} == {'same.ipynb': 'a',
                                                                                         'changed.ipynb': 'b'}
    assert (docs / 'notebooks' / 'same.ipynb').stat().st_mtime_ns == before


def test_formulas(extensions):
    pytest.importorskip('latex2mathml', reason="needs the extra 'docs'")
    import mathml

    block = mathml.formula('a &= 1\n\nb &= 2')
    assert block.count('<mtr>') == 2
    assert 'display="block"' in block
    assert '<mtr>' not in mathml.formula('a = 1')
