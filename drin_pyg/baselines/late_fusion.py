r"""Late fusion of the relations' first weights: what a learned model must beat before anything is claimed."""

import torch
from torch import Tensor
from torch_geometric.utils import scatter

from drin_pyg.baselines.sides import first_weights
from drin_pyg.features import Candidates, PairTables
from drin_pyg.graph import CandidateLoader
from drin_pyg.vocabulary import EDGE_TYPES


def relation_scores(tables: PairTables, candidates: Candidates, mention: Tensor) -> Tensor:
    r"""First weight of each relation for the pairs of the given mentions.

    Args:
        tables: Features and first weights.
        candidates: Candidate lists.
        mention: Mentions, int64 ``[B]``.

    Returns:
        ``[P, 4]`` in the order of the vocabulary, a mean over edges if there are several images;
        NaN where a pair has no such edge.
    """
    loader = CandidateLoader(tables, candidates, mention, max_pairs=16_384)
    scores = [first_weights(batch) for batch in loader]
    return torch.cat(scores) if scores else torch.empty(0, len(EDGE_TYPES))


def z_score(scores: Tensor, candidates: Candidates) -> Tensor:
    r"""Standardises each relation over the candidates of a mention; what is missing becomes 0, the mean.

    Args:
        scores: From :func:`relation_scores`, ``[P, R]``.
        candidates: The candidate lists of these pairs.
    """
    group, size = candidates.mention, candidates.num_mentions
    there = ~scores.isnan()
    scores = scores.nan_to_num(0.0)
    count = scatter(there.float(), group, dim_size=size).clamp(min=1)           # [M, R]
    mean = scatter(scores, group, dim_size=size) / count                        # [M, R]
    centred = (scores - mean[group]) * there                                    # [P, R]
    deviation = (scatter(centred.square(), group, dim_size=size) / count).sqrt()
    return centred / deviation[group].clamp(min=1e-6)


class LogisticFusion:
    r"""Weights of the relations from a logistic regression on answer-minus-candidate differences
    (:class:`sklearn.linear_model.LogisticRegression`), that is, from pairwise preferences."""

    def fit(self, features: Tensor, candidates: Candidates) -> 'LogisticFusion':
        r"""Fits on z-scored relations ``[P, R]`` of training pairs; mentions without their answer are left out."""
        from sklearn.linear_model import LogisticRegression

        y, group = candidates.y, candidates.mention
        count = scatter(y.float(), group, dim_size=candidates.num_mentions).clamp(min=1)
        gold = scatter(features * y.unsqueeze(-1), group, dim_size=candidates.num_mentions) / count.unsqueeze(-1)
        has_gold = scatter(y.long(), group, dim_size=candidates.num_mentions) > 0
        keep = ~y & has_gold[group]
        difference = (gold[group] - features)[keep]
        x = torch.cat([difference, -difference]).numpy()
        label = torch.arange(x.shape[0]).lt(difference.size(0)).numpy()
        self.coefficients = torch.from_numpy(LogisticRegression(fit_intercept=False).fit(x, label).coef_[0]).float()
        return self

    def __call__(self, features: Tensor) -> Tensor:
        r"""Scores ``[P]`` of z-scored relations ``[P, R]``."""
        return features @ self.coefficients
