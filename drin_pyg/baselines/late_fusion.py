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

    .. math::
        z_{pr} = (x_{pr} - \mu_{mr}) / \max(\sigma_{mr}, 10^{-6})

    for pair :math:`p` of mention :math:`m` and relation :math:`r`, with the mean and standard deviation over the
    candidates that have it.

    Args:
        scores: From :func:`relation_scores`, ``[P, R]``.
        candidates: The candidate lists of these pairs.

    Returns:
        ``[P, R]``.
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
    r"""Late fusion: one learned weight for each relation, and nothing else.

    .. math::
        s_p = \sum_r w_r z_{pr}

    The :math:`w_r` come from pairwise preferences: a logistic regression without intercept
    (:class:`sklearn.linear_model.LogisticRegression`) on the differences of each answer and its rivals,
    :math:`P(p \text{ before } q) = \sigma(s_p - s_q)`.

    Shapes:
        - **input:** relations of the pairs, standardised by :func:`z_score`, ``[P, R]``
        - **output:** scores ``[P]``, higher is better
    """

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
