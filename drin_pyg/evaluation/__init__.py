r"""Ranks with named tie rules, metrics with recall beside them, significance, parity and reports."""

from drin_pyg.evaluation.audit import Audit, audit
from drin_pyg.evaluation.calibration_error import calibration_error
from drin_pyg.evaluation.leak_free_split import leak_free_split
from drin_pyg.evaluation.metrics import Metrics, evaluate_scores, rank_metrics
from drin_pyg.evaluation.pair_weights import pair_weights
from drin_pyg.evaluation.protocol import DropAppended, ProtocolGap, append_gold, protocol_gap
from drin_pyg.evaluation.ranks import gold_ranks
from drin_pyg.evaluation.significance import paired_test

__all__ = [
    'Audit',
    'DropAppended',
    'Metrics',
    'ProtocolGap',
    'append_gold',
    'audit',
    'calibration_error',
    'evaluate_scores',
    'gold_ranks',
    'leak_free_split',
    'pair_weights',
    'paired_test',
    'protocol_gap',
    'rank_metrics',
]
