r"""What DRIN is compared with, on the same features; each trained and evaluated by the same code."""

from drin_pyg.baselines.add_sequences import AddSequences
from drin_pyg.baselines.baseline import Baseline
from drin_pyg.baselines.build import BASELINES, build_baseline, needs_sequences
from drin_pyg.baselines.ghmfc import GHMFC
from drin_pyg.baselines.late_fusion import LogisticFusion, relation_scores, z_score
from drin_pyg.baselines.melhi import MELHI
from drin_pyg.baselines.pair_network import PairNetwork
from drin_pyg.baselines.single_space import SingleSpace

__all__ = [
    'BASELINES',
    'GHMFC',
    'MELHI',
    'AddSequences',
    'Baseline',
    'LogisticFusion',
    'PairNetwork',
    'SingleSpace',
    'build_baseline',
    'needs_sequences',
    'relation_scores',
    'z_score',
]
