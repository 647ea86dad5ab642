r"""Fit, resume, and recipes. Importing this package loads Lightning."""

from drin_pyg.training.data import EMOJI, MELData, load_data
from drin_pyg.training.data_module import CandidateDataModule
from drin_pyg.training.fit import FitResult, fit, predict
from drin_pyg.training.lit_drin import LitDRIN
from drin_pyg.training.recipe import Recipe
from drin_pyg.training.run import read_curve, read_run, save_run
from drin_pyg.training.warm_start import warm_start

__all__ = [
    'EMOJI',
    'CandidateDataModule',
    'FitResult',
    'LitDRIN',
    'MELData',
    'Recipe',
    'fit',
    'load_data',
    'predict',
    'read_curve',
    'read_run',
    'save_run',
    'warm_start',
]
