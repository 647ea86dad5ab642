r"""Fit, resume, and recipes. Importing this package loads Lightning."""

from drin_pyg.training.data import EMOJI, load_data
from drin_pyg.training.data_module import CandidateDataModule
from drin_pyg.training.fit import FitResult, fit, predict
from drin_pyg.training.lit_drin import LitDRIN
from drin_pyg.training.model_card import model_card
from drin_pyg.training.recipe import Recipe
from drin_pyg.training.run import check_run, data_module, load_run, read_curve, save_run, train_run
from drin_pyg.training.warm_start import warm_start

__all__ = [
    'EMOJI',
    'CandidateDataModule',
    'FitResult',
    'LitDRIN',
    'Recipe',
    'check_run',
    'data_module',
    'fit',
    'load_data',
    'load_run',
    'model_card',
    'predict',
    'read_curve',
    'save_run',
    'train_run',
    'warm_start',
]
