"""A small trained run on the packaged data, and linkers of it, made once per test session."""

from dataclasses import replace

import pytest
import torch

from drin_pyg.linking import Linker, calibrate
from drin_pyg.nn import DRIN
from drin_pyg.training import EMOJI, Recipe, load_data, train_run


@pytest.fixture(scope='session')
def emoji_data():
    return load_data(EMOJI)


@pytest.fixture(scope='session')
def run_folder(emoji_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    # Scales that are far from calibrated, and steps that a few mentions learn something from.
    recipe = replace(Recipe(), model={'hidden_channels': 32, 'cosine_scales': [4.0, 4.0]}, lr=5e-4, max_epochs=1)
    small = replace(emoji_data, split={**emoji_data.split, 'train': emoji_data.split['train'][:200]})
    train_run(small, EMOJI, recipe, folder, progress=False, accelerator='cpu')
    assert isinstance(DRIN.from_pretrained(folder / 'model'), torch.nn.Module)
    return folder


@pytest.fixture(scope='session')
def picture(emoji_data, tmp_path_factory):
    """A file with the picture of the swan."""
    path = tmp_path_factory.mktemp('picture') / 'swan.png'
    next(e for e in emoji_data.entities if e.name == 'swan').pictures[0].open().save(path)
    return path


@pytest.fixture(scope='session')
def linker(run_folder):
    return Linker.from_pretrained(run_folder)


@pytest.fixture(scope='session')
def calibrated(linker, tmp_path_factory):
    """A linker that decides on NIL."""
    calibration = calibrate(linker.model, linker.data, Recipe(), tmp_path_factory.mktemp('calibration'))
    return Linker(linker.model, linker.data, calibration=calibration)
