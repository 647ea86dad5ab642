import torch
from torch import Tensor
from torch_geometric.typing import EdgeType
from torch_geometric.utils import softmax

from drin_pyg.features.candidates import Candidates

L2 = 1e-3
NUM_STEPS = 60


class LearnedWeights:
    r"""First weights as shares of a conditional logit over pair features, fitted on training mentions.

    The logit models the answer as a softmax over the candidates of a mention. Every feature belongs
    to one relation, whose first weight is the sum of its features' shares: in units of log-odds, so
    that a model whose score adds up its relation weights starts at the logit's score.

    Args:
        relation: Feature name to its relation.
        bins: Names of features that come as bins (int64), of which the log-ratio of right to wrong
            pairs is taken; each with its relation.
        num_bins: Bins of such a feature.
    """

    def __init__(self, relation: dict[str, EdgeType], bins: dict[str, EdgeType], num_bins: int):
        self.relation = {**relation, **bins}
        self.bins = tuple(bins)
        self.num_bins = num_bins
        self.state: dict[str, Tensor] = {}

    def fit(self, features: dict[str, Tensor], candidates: Candidates, mention: Tensor) -> 'LearnedWeights':
        r"""Fits on the candidates of the given mentions; those whose answer is not retrieved say nothing.

        Args:
            features: Feature name to ``[P]`` over all pairs of ``candidates``.
            candidates: Candidate lists and answers of all mentions.
            mention: The training mentions, int64 ``[B]``.

        Raises:
            ValueError: If no training mention has its answer among its candidates.
        """
        pairs = candidates.pairs_of(mention)
        lists = candidates.select(mention)
        y = lists.y
        if not bool(y.any()):
            raise ValueError("No training mention has its answer among its candidates; there is nothing to learn first "
                             "weights from")
        log_ratios = []
        for name in self.bins:
            of = features[name][pairs]
            right, wrong = (torch.bincount(of[rows], minlength=self.num_bins) + 1.0 for rows in (y, ~y))
            log_ratios.append((right / right.sum()).log() - (wrong / wrong.sum()).log())
        self.state = {'log_ratio': torch.stack(log_ratios) if log_ratios else torch.empty(0, self.num_bins)}
        x = self._stack(features)[pairs]                                      # [P', C]
        self.state |= {'mean': x.mean(0), 'scale': x.std(0).clamp(min=1e-6)}
        self.state['coefficient'] = self._solve((x - self.state['mean']) / self.state['scale'], y, lists.mention,
                                                lists.num_mentions)
        return self

    def __call__(self, features: dict[str, Tensor]) -> dict[EdgeType, Tensor]:
        r"""First weights ``[P]`` of each relation that has features."""
        share = (self._stack(features) - self.state['mean']) / self.state['scale'] * self.state['coefficient']  # [P, C]
        weights: dict[EdgeType, Tensor] = {}
        for column, edge_type in enumerate(self.relation.values()):
            weights[edge_type] = weights.get(edge_type, 0) + share[:, column]
        return weights

    def _stack(self, features: dict[str, Tensor]) -> Tensor:
        columns = [self.state['log_ratio'][self.bins.index(name)][features[name]] if name in self.bins
                   else features[name] for name in self.relation]
        return torch.stack(columns, dim=-1)

    @staticmethod
    def _solve(x: Tensor, y: Tensor, mention: Tensor, num_mentions: int) -> Tensor:
        """Coefficients ``[C]`` by L-BFGS: the loss is convex."""
        coefficient = torch.zeros(x.size(1), requires_grad=True)
        optimizer = torch.optim.LBFGS([coefficient], max_iter=NUM_STEPS, line_search_fn='strong_wolfe')

        def loss() -> Tensor:
            optimizer.zero_grad()
            probability = softmax(x @ coefficient, mention, num_nodes=num_mentions)
            value = -probability[y].clamp(min=1e-12).log().mean() + L2 * coefficient.square().sum()
            value.backward()
            return value

        optimizer.step(loss)
        return coefficient.detach()
