
import pytest

from drin_pyg.features import OfflineFeatures
from drin_pyg.files import fingerprint, read_record
from drin_pyg.training import EMOJI, Recipe, load_data, save_run

SOURCE = 'emoji:mention=twemoji,entity=noto+fluent'


@pytest.fixture
def encoded(monkeypatch):
    """What would have been encoded."""
    monkeypatch.setattr('drin_pyg.training.data.encode', lambda dataset, preset: (dataset, preset))


@pytest.mark.parametrize(('source', 'mention', 'entity'), [
    (EMOJI, None, ('noto', )),
    (SOURCE, ('twemoji', ), ('noto', 'fluent')),
])
def test_packaged_data_comes_with_the_vendors_that_are_named(encoded, source, mention, entity):
    dataset, preset = load_data(source)
    assert (dataset.mention_vendors, dataset.entity_vendors) == (mention, entity)
    assert type(preset) is OfflineFeatures


def test_vendors_that_cannot_be_read(encoded):
    with pytest.raises(ValueError, match=r"cannot be read; write 'emoji:mention=twemoji,entity=noto\+fluent'"):
        load_data('emoji:twemoji')


@pytest.mark.parametrize('source', [EMOJI, SOURCE])
def test_a_run_keeps_the_vendors(tmp_path, source):
    save_run(tmp_path, Recipe(), source)
    run = read_record(tmp_path / 'run.json')
    assert run == {'format': 1, 'data': source, 'files': {'recipe.yaml': fingerprint(tmp_path / 'recipe.yaml')}}


def test_a_folder_is_still_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='emojis'):
        load_data(tmp_path / 'emojis')
