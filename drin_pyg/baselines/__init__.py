r"""What DRIN is compared with, on the same features; each trained and evaluated by the same code."""

from drin_pyg.baselines.late_fusion import LogisticFusion, relation_scores, z_score

__all__ = ['LogisticFusion', 'relation_scores', 'z_score']
