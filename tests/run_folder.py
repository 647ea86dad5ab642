"""A small trained run on the packaged data, made once per test session."""

from dataclasses import replace

import pytest
import torch

from drin_pyg.nn import DRIN
from drin_pyg.training import EMOJI, CandidateDataModule, Recipe, fit, load_data, save_run


@pytest.fixture(scope='session')
def emoji_data():
    return load_data(EMOJI)


@pytest.fixture(scope='session')
def run_folder(emoji_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    recipe = replace(Recipe(), model={'hidden_channels': 32}, max_epochs=1)
    small = {**emoji_data.split, 'train': emoji_data.split['train'][:200]}
    model = recipe.build(emoji_data.tables, emoji_data.candidates, emoji_data.split['train'], 0)
    module = CandidateDataModule(emoji_data.tables, emoji_data.candidates, small, max_pairs=recipe.max_pairs)
    fit(model, module, folder, max_epochs=1, progress=False, accelerator='cpu')
    save_run(folder, recipe, EMOJI)
    assert isinstance(DRIN.from_pretrained(folder / 'model'), torch.nn.Module)
    return folder
