"""Models on a hub, without one: what the package asks of huggingface_hub, and what it makes of the answers."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from drin_pyg.baselines import SingleSpace
from drin_pyg.nn import DRIN, HeteroDRIN
from drin_pyg.vocabulary import METADATA, NODE_TYPES

WIDTHS = dict.fromkeys(NODE_TYPES, 5)


class Hub:
    """Repositories as folders: branch or commit to files, and what was asked for."""

    def __init__(self, root):
        self.root, self.asked = root, []

    def api(self, token=None):
        self.asked.append({'token': token})
        return SimpleNamespace(create_repo=self.create_repo, upload_folder=self.upload_folder)

    def create_repo(self, repo_id, private=None, exist_ok=False):
        assert exist_ok
        (self.root / repo_id).mkdir(parents=True, exist_ok=True)
        self.asked.append({'private': private})
        return SimpleNamespace(repo_id=repo_id)

    def upload_folder(self, *, repo_id, folder_path, revision, commit_message):
        assert (self.root / repo_id).is_dir(), 'the repository was never made'
        branch = self.root / repo_id / (revision or 'main')
        shutil.copytree(folder_path, branch, dirs_exist_ok=True)
        return f'https://hub.invalid/{repo_id}/commit/1?{commit_message}'

    def snapshot_download(self, repo_id, *, revision, token, allow_patterns):
        source = self.root / repo_id / (revision or 'main')
        if not source.is_dir():
            raise LocalEntryNotFoundError(f'no {repo_id} at {revision}')
        cache = self.root / 'cache' / repo_id / (revision or 'main')
        cache.mkdir(parents=True, exist_ok=True)
        for name in allow_patterns:
            if (source / name).is_file():
                shutil.copy(source / name, cache / name)
        return str(cache)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    hub = Hub(tmp_path / 'hub')
    monkeypatch.setattr(huggingface_hub, 'HfApi', hub.api)
    monkeypatch.setattr(huggingface_hub, 'snapshot_download', hub.snapshot_download)
    monkeypatch.chdir(tmp_path)
    return hub


def same(a, b):
    state_a, state_b = a.state_dict(), b.state_dict()
    return state_a.keys() == state_b.keys() and all(state_a[name].equal(state_b[name]) for name in state_a)


@pytest.mark.parametrize('model', [
    DRIN(WIDTHS, 8),
    HeteroDRIN(METADATA, 8, in_channels=WIDTHS),
    SingleSpace(8),
], ids=lambda model: type(model).__name__)
def test_round_trip(hub, model, world):
    if isinstance(model, SingleSpace):  # its widths come with a batch
        from drin_pyg.graph import candidate_batch
        model(candidate_batch(world.tables, world.candidates))
    address = model.push_to_hub('someone/linker', card='# A card\n', commit_message='First')
    assert address == 'https://hub.invalid/someone/linker/commit/1?First'
    files = sorted(path.name for path in (hub.root / 'someone/linker/main').iterdir())
    assert files == ['README.md', 'config.json', 'model.safetensors']
    read = type(model).from_pretrained('someone/linker')
    assert same(read, model)
    assert not read.training
    assert not (hub.root / 'cache/someone/linker/main/README.md').exists()  # the card is not needed


def test_arguments_reach_the_hub(hub):
    DRIN(WIDTHS, 8).push_to_hub('someone/linker', private=True, token='secret')
    assert hub.asked == [{'token': 'secret'}, {'private': True}]


def test_a_revision_is_the_one_that_was_named(hub):
    old, new = DRIN(WIDTHS, 8), DRIN(WIDTHS, 8)
    old.push_to_hub('someone/linker', branch='v1')
    new.push_to_hub('someone/linker')
    assert same(DRIN.from_pretrained('someone/linker', revision='v1'), old)
    assert same(DRIN.from_pretrained('someone/linker'), new)


def test_a_card_stays_until_there_is_another(hub, tmp_path):
    model = DRIN(WIDTHS, 8)
    for card, expected in (('one', 'one'), (None, 'one'), ('two', 'two')):
        model.push_to_hub('someone/linker', card=card)
        assert (hub.root / 'someone/linker/main/README.md').read_text() == expected
        assert (model.save_pretrained(tmp_path / 'model', card=card) / 'README.md').read_text() == expected


def test_a_model_that_cannot_be_saved_makes_no_repository(hub):
    with pytest.raises(ValueError, match='uninitialized'):
        DRIN().push_to_hub('someone/linker')
    assert not (hub.root / 'someone').exists()


def test_a_folder_goes_before_the_hub(hub, tmp_path):
    here, there = DRIN(WIDTHS, 8), DRIN(WIDTHS, 8)
    here.save_pretrained('someone/linker')
    there.push_to_hub('someone/linker')
    assert same(DRIN.from_pretrained('someone/linker'), here)
    with pytest.raises(ValueError, match="'someone/linker' is a folder, but 'revision'"):
        DRIN.from_pretrained('someone/linker', revision='v1')


@pytest.mark.parametrize('folder', [Path('no/where'), 'nowhere', './where', '../where', '/no/where', 'a/b/c', 'a b/c'])
def test_what_is_a_folder_is_not_asked_for_on_the_hub(hub, monkeypatch, folder):
    monkeypatch.setattr(huggingface_hub, 'snapshot_download', None)
    with pytest.raises(FileNotFoundError, match=r"holds no saved DRIN: 'config.json' is missing"):
        DRIN.from_pretrained(folder)


@pytest.mark.parametrize('error', [LocalEntryNotFoundError('not there'), OfflineModeIsEnabled('no network'),
                                   OSError('refused'), ValueError('no name')])
def test_a_hub_without_the_model_is_named(hub, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub, 'snapshot_download', fail)
    with pytest.raises(FileNotFoundError, match=f"no folder 'some/one', and no model of this name at revision 'v2' .*"
                                                f"{error}"):
        DRIN.from_pretrained('some/one', revision='v2')


def test_a_repository_of_something_else(hub):
    DRIN(WIDTHS, 8).push_to_hub('someone/linker')
    with pytest.raises(ValueError, match="'someone/linker' holds no HeteroDRIN that can be read: it was saved as"):
        HeteroDRIN.from_pretrained('someone/linker')
    config = hub.root / 'someone/linker/main/config.json'
    config.write_text(json.dumps({'class': 'DRIN', 'relations': ['no_such']}))
    with pytest.raises(ValueError, match="'someone/linker' holds no DRIN that can be read"):
        DRIN.from_pretrained('someone/linker')
    (hub.root / 'someone/linker/main/model.safetensors').unlink()
    shutil.rmtree(hub.root / 'cache')
    with pytest.raises(FileNotFoundError, match=r"'someone/linker' holds no saved DRIN: 'model.safetensors' is"):
        DRIN.from_pretrained('someone/linker')


def test_without_huggingface_hub(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    model = DRIN(WIDTHS, 8)
    assert same(DRIN.from_pretrained(model.save_pretrained(tmp_path)), model)
    with pytest.raises(ImportError, match='pip install huggingface_hub'):
        model.push_to_hub('someone/linker')
    with pytest.raises(ImportError, match=r"no folder 'someone/linker'.*pip install huggingface_hub"):
        DRIN.from_pretrained('someone/linker')


def test_the_package_does_not_load_it():
    # PyG itself loads it, where it is installed, with transformers; here it may not.
    code = "import sys; sys.modules['huggingface_hub'] = None; from drin_pyg.nn import DRIN; DRIN(4, 8); print('fine')"
    result = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, check=False)
    assert result.stdout == 'fine\n', result.stderr
