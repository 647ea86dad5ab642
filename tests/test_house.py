"""The rules of the house, read off the source: which folder may import which, and what no file may do."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import drin_pyg
import drin_pyg.linking
from drin_pyg.vocabulary import NODE_TYPES, RELATIONS

ROOT = Path(drin_pyg.__file__).parent
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob('*.py'))
TREES = {path: ast.parse((ROOT / path).read_text()) for path in FILES}

# The way of a mention through the package. A folder imports only from folders above it.
LAYERS = ['files', 'vocabulary', 'datasets', 'features', 'graph', 'nn', 'baselines', 'evaluation', 'training',
          'linking', 'experiments', 'demo', 'explore', 'cli']

HEAVY = {'transformers', 'torchvision', 'open_clip', 'lightning', 'pytorch_lightning', 'sklearn', 'skimage', 'PIL',
         'matplotlib', 'pandas', 'typer', 'gradio', 'ray', 'pyarrow'}
PICKLERS = {'pickle', 'cPickle', 'dill', 'cloudpickle', 'joblib', 'marshal', 'shelve'}

each_file = pytest.mark.parametrize('path', FILES, ids=str)


def layer(path):
    """Folder (or file) of the package that a file belongs to; None for the package's own index."""
    return None if path.parts[0] in ('__init__.py', '__main__.py') else path.parts[0].removesuffix('.py')


def imported_layers(path):
    """What a file imports of the package, at any depth: (line, layer); '' stands for the package's own index."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno} imports relatively'
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        else:
            continue
        for name in names:
            if name.split('.')[0] == 'drin_pyg':
                part = name.split('.')[1] if '.' in name else ''
                yield node.lineno, part if part in LAYERS else ''


def docstrings(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def test_every_folder_has_its_place():
    assert {layer(path) for path in FILES} - {None} <= set(LAYERS)


@each_file
def test_imports_flow_one_way(path):
    own = layer(path)
    if own is None:
        allowed = {'', *LAYERS}
    elif own == 'nn':
        allowed = {'files', 'vocabulary', 'nn'}  # pure PyG
    elif own == 'cli':
        allowed = {'', *LAYERS}
    else:
        allowed = set(LAYERS[:LAYERS.index(own) + 1])
    wrong = [f'{path}:{line} imports {name or "the package itself"}'
             for line, name in imported_layers(path) if name not in allowed]
    assert wrong == []


@each_file
def test_type_names_are_spelled_in_the_vocabulary_alone(path):
    if path.parts == ('vocabulary.py',):
        return
    name = re.compile(rf'\b({"|".join([*NODE_TYPES, *RELATIONS])})\b')
    skip = {id(node) for node in docstrings(TREES[path])}
    wrong = [f'{path}:{node.lineno} spells {node.value!r}' for node in ast.walk(TREES[path])
             if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skip
             and name.search(node.value)]
    assert wrong == []


@each_file
def test_no_all_beside_message_passing(path):
    # PyG renders its templates from a star import of the module, which `__all__` would cut short.
    tree = TREES[path]
    bases = {getattr(base, 'attr', getattr(base, 'id', None)) for node in ast.walk(tree)
             if isinstance(node, ast.ClassDef) for base in node.bases}
    names = {target.id for node in ast.walk(tree) if isinstance(node, ast.Assign)
             for target in node.targets if isinstance(target, ast.Name)}
    assert not bases & {'MessagePassing', 'RelationConv'} or '__all__' not in names


@each_file
def test_no_star_imports(path):
    wrong = [f'{path}:{node.lineno}' for node in ast.walk(TREES[path])
             if isinstance(node, ast.ImportFrom) and any(alias.name == '*' for alias in node.names)]
    assert wrong == []


@each_file
def test_nothing_unpickles(path):
    # A published index or checkpoint must not be able to run code.
    wrong = []
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, 'module', None) or '', *(alias.name for alias in node.names)]
            if {name.split('.')[0] for name in names} & PICKLERS:
                wrong.append(f'{path}:{node.lineno} imports a pickler')
        if isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if call.endswith('torch.load') and keywords.get('weights_only') != 'True':
                wrong.append(f'{path}:{node.lineno} calls torch.load without weights_only=True')
            if keywords.get('allow_pickle', 'False') != 'False':
                wrong.append(f'{path}:{node.lineno} allows pickles')
    assert wrong == []


def modules_after(statement):
    """Everything that a fresh interpreter has loaded after a statement."""
    code = f"{statement}; import sys; print('loaded', *sys.modules)"
    result = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, check=True,
                            cwd=ROOT.parent)
    return set(result.stdout.split('loaded ')[-1].split())


def test_importing_the_package_is_light():
    # PyG itself imports transformers and pandas where they are installed, so what it loads cannot be held against
    # the package; whether the package would load them too is read off its source.
    loaded = modules_after('from drin_pyg import *')  # its names are loaded when they are asked for
    assert HEAVY & (loaded - modules_after('import torch_geometric')) == set()
    own = {module for module in loaded if module.split('.')[0] == 'drin_pyg'}
    wrong = []
    for path, tree in TREES.items():
        parts = path.parts[:-1] if path.name == '__init__.py' else path.with_suffix('').parts
        if '.'.join(('drin_pyg', *parts)) in own:
            for node in ast.iter_child_nodes(tree):  # an import inside a function is what is wanted
                if isinstance(node, ast.Import | ast.ImportFrom):
                    names = [getattr(node, 'module', None) or '', *(alias.name for alias in node.names)]
                    wrong += [f'{path}:{node.lineno}' for name in names if name.split('.')[0] in HEAVY]
    assert len(own) > 10
    assert wrong == []


@pytest.mark.parametrize('index', [drin_pyg, drin_pyg.linking], ids=lambda index: index.__name__)
def test_index_is_the_table_of_contents(index):
    assert sorted(index.__all__) == sorted(set(index.__all__))
    assert [name for name in index.__all__ if not hasattr(index, name)] == []
    assert set(index.__all__) <= set(dir(index))  # what a notebook completes, before any is loaded
    with pytest.raises(AttributeError, match=f"module '{index.__name__}' has no attribute 'nothing'"):
        _ = index.nothing
