"""Every file that is written here and read again says its format, and one of another format is refused by name."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml

from drin_pyg.experiments.ablate import _settle
from drin_pyg.features import FeatureTable, MELData, load_tables, save_tables
from drin_pyg.features.feature_table import FeatureTableWriter
from drin_pyg.features.side_tables import side_tables
from drin_pyg.files import read_yaml
from drin_pyg.linking import Calibration, EntityIndex
from drin_pyg.nn import DRIN
from drin_pyg.training import EMOJI, Recipe, load_run
from drin_pyg.training.run import save_run
from tests.world import WIDTHS

CALIBRATION = Calibration(1.5, [0.0] * 4, [1.0] * 4, [0.5] * 4, 0.0, 0.5, 'key', {})
TABLE = {'key': 'key', 'spec': {}, 'num_rows': 2}


@dataclass
class File:
    """A file, what writes it into a folder, and what reads the folder."""

    name: str
    write: object
    read: object


def make_model():
    torch.manual_seed(0)
    return DRIN(dict(WIDTHS), 8, 1)


def write_run(folder, world):
    make_model().save_pretrained(folder / 'model')
    save_run(folder, Recipe(lr=0.5), EMOJI)


def write_tables(folder, world):
    save_tables(MELData(world.tables, world.candidates, {'train': torch.arange(4), 'val': torch.arange(4, 6)}), folder,
                {'source': 'nowhere'})


def write_feature_table(folder, world):
    writer = FeatureTableWriter(folder, **TABLE)
    writer.append({'x': torch.ones(2, 3)}, {})
    writer.finish()


FILES = [
    File('recipe.yaml', lambda folder, world: Recipe(lr=0.5).save(folder / 'recipe.yaml'),
         lambda folder: Recipe.load(folder / 'recipe.yaml')),
    File('run.json', write_run, lambda folder: load_run(folder)[0]),
    File('config.json', lambda folder, world: make_model().save_pretrained(folder),
         lambda folder: DRIN.from_pretrained(folder).config()),
    File('tables.json', write_tables, lambda folder: load_tables(folder).candidates.entity.tolist()),
    File('manifest.json', write_feature_table, lambda folder: FeatureTable(folder)['x'].tolist()),
    File('index.json', lambda folder, world: EntityIndex.build(make_model(), side_tables(world.tables)[1],
                                                               folder=folder),
         lambda folder: len(EntityIndex.load(folder, make_model()))),
    File('calibration.json', lambda folder, world: CALIBRATION.save(folder),
         lambda folder: Calibration.load(folder, 'key')),
    File('settings.json', lambda folder, world: _settle(folder, EMOJI, Recipe()),
         lambda folder: _settle(folder, EMOJI, Recipe())),
]
each_file = pytest.mark.parametrize('file', FILES, ids=lambda file: file.name)


def renumber(path: Path, number) -> None:
    """Gives a file another format; None takes it out."""
    record = yaml.safe_load(path.read_text())  # JSON is YAML
    del record['format']
    record |= {} if number is None else {'format': number}
    path.write_text(yaml.safe_dump(record) if path.suffix == '.yaml' else json.dumps(record))


@each_file
def test_a_file_of_another_format_is_refused_by_name(file, world, tmp_path):
    folder = tmp_path / 'out'
    folder.mkdir()
    file.write(folder, world)
    expected = file.read(folder)
    for number, remedy in ((2, ' (update drin_pyg to read it)'), ('old', '')):
        renumber(folder / file.name, number)
        with pytest.raises(ValueError, match=str(folder)) as error:
            file.read(folder)
        assert f'is of format {number!r}, and this version of drin_pyg reads 1{remedy}' in str(error.value)
    renumber(folder / file.name, 1)
    assert file.read(folder) == expected


@pytest.mark.parametrize('file', [file for file in FILES if file.name in ('recipe.yaml', 'config.json')],
                         ids=lambda file: file.name)
def test_what_the_first_version_wrote_without_a_number_is_read(file, world, tmp_path):
    file.write(tmp_path, world)
    expected = file.read(tmp_path)
    renumber(tmp_path / file.name, None)
    assert 'format' not in (tmp_path / file.name).read_text()
    assert file.read(tmp_path) == expected


def test_settings_that_people_write(tmp_path):
    path = tmp_path / 'settings.yaml'
    path.write_text('preset: text\n')
    assert read_yaml(path) == {'preset': 'text'}
    path.write_text('format: 1\npreset: text\n')
    assert read_yaml(path) == {'preset': 'text'}
    path.write_text('format: 3\npreset: text\n')
    with pytest.raises(ValueError, match=rf"'{path}' cannot be read: it is of format 3.*update drin_pyg"):
        read_yaml(path)
    assert read_yaml(path, known=3) == {'preset': 'text'}
