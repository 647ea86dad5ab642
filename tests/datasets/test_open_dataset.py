import shutil

import numpy as np
import pytest

from drin_pyg.datasets import EmojiMEL, MELFolder, RichpediaMEL, WikiDiverse, WikiMEL, WikiMELText, open_dataset
from drin_pyg.datasets.emoji_mel import FILES
from tests.datasets.layouts import (
    write_lines,
    write_mimic,
    write_own,
    write_richpedia,
    write_wikidiverse,
    write_wikimel,
    write_wikimel_flat,
    write_wikimel_text,
)
from tests.evaluation.published_reference import DEFAULTS, write_data


def write_emoji(folder):
    for name in FILES:
        shutil.copy(EmojiMEL().folder / name, folder)


@pytest.mark.parametrize(('write', 'reader', 'size', 'num_test'), [
    (write_own, MELFolder, 5, 2),
    (write_emoji, EmojiMEL, 3597, 719),
    (write_wikidiverse, WikiDiverse, 7, 1),
    (lambda folder: write_mimic(folder, 'wiki_diverse'), WikiDiverse, 4, 1),
    (write_wikimel, WikiMEL, 6, 1),
    (write_wikimel_flat, WikiMEL, 4, 1),
    (lambda folder: write_mimic(folder, 'WIKIMEL'), WikiMEL, 4, 1),
    (write_richpedia, RichpediaMEL, 3, 0),
    (lambda folder: write_mimic(folder, 'RichpediaMEL'), RichpediaMEL, 4, 1),
    (write_wikimel_text, WikiMELText, 12, 2),
])
def test_reader_is_found_by_the_files(tmp_path, write, reader, size, num_test):
    write(tmp_path)
    for source in (tmp_path, str(tmp_path)):
        dataset = open_dataset(source)
        assert type(dataset) is reader
        assert len(dataset) == size
    if num_test:
        assert len(open_dataset(tmp_path, 'test')) == num_test
    else:
        with pytest.raises(ValueError, match="no mentions of the split 'test'"):
            len(open_dataset(tmp_path, 'test'))


def test_packaged_data_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = open_dataset('emoji', split='val')
    assert (type(dataset), dataset.split, len(dataset)) == (EmojiMEL, 'val', 391)


@pytest.mark.parametrize(('first', 'second', 'names'), [
    (write_own, write_wikimel, 'MELFolder, WikiMEL'),
    (write_wikidiverse, write_richpedia, 'WikiDiverse, RichpediaMEL'),
    (write_emoji, write_wikimel_text, 'EmojiMEL, WikiMELText'),
])
def test_several_data_sets_in_one_folder(tmp_path, first, second, names):
    first(tmp_path)
    second(tmp_path)
    with pytest.raises(ValueError, match=f'holds the files of several data sets: {names}; give each a folder of its'):
        open_dataset(tmp_path)


@pytest.mark.parametrize('name', [None, 'notes.txt', 'entities.jsonl', 'train.json', 'mentions.jsonl/x.txt'])
def test_unknown_folder(tmp_path, name):
    if name:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"holds no data set that is known here \(MELFolder, EmojiMEL, WikiMELText, "
                                         r"WikiDiverse, WikiMEL, RichpediaMEL\); .* write 'entities.jsonl' and"):
        open_dataset(tmp_path)


@pytest.mark.parametrize('layout', ['wikidiverse', 'wikimel'])
def test_preprocessed_features_are_told_from_a_data_set(tmp_path, layout):
    write_data(tmp_path, {**DEFAULTS, 'dataset': layout}, np.random.default_rng(0))
    with pytest.raises(ValueError, match="holds features in DRIN's preprocessed format, no texts and no pictures"):
        open_dataset(tmp_path)


@pytest.mark.parametrize('name', ['nowhere', 'file'])
def test_missing_folder(tmp_path, name):
    (tmp_path / 'file').touch()
    with pytest.raises(FileNotFoundError, match=f"There is no folder '.*{name}'"):
        open_dataset(tmp_path / name)


def test_unknown_split(tmp_path):
    write_lines(tmp_path / 'entities.jsonl')
    write_lines(tmp_path / 'mentions.jsonl')
    with pytest.raises(ValueError, match="MELFolder has the splits train, val, test; got 'dev'"):
        open_dataset(tmp_path, 'dev')
