r"""Ranks with named tie rules, metrics with recall beside them, significance, parity and reports."""

from drin_pyg.evaluation.calibration_error import calibration_error
from drin_pyg.evaluation.metrics import Metrics, evaluate_scores, rank_metrics
from drin_pyg.evaluation.ranks import gold_ranks
from drin_pyg.evaluation.significance import paired_test

__all__ = [
    'Metrics',
    'calibration_error',
    'evaluate_scores',
    'gold_ranks',
    'paired_test',
    'rank_metrics',
]
