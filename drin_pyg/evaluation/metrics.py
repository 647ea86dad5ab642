from dataclasses import asdict, dataclass

from torch import Tensor

from drin_pyg.evaluation.ranks import Tie, gold_ranks
from drin_pyg.features import Candidates


@dataclass(frozen=True)
class Metrics:
    r"""Ranking metrics over ``num_mentions`` mentions, all as fractions.

    *Raw* figures count a mention whose answer is not among its candidates as a miss;
    *conditional* figures leave it out (the published WikiDiverse accuracy is of this kind);
    ``recall`` is the fraction whose answer is there, so conditional = raw / recall for hits and
    MRR. ``mean_rank`` exists only where there is a rank, so it is conditional.

    Standard errors are over mentions, of the raw figures.
    """

    num_mentions: int
    recall: float
    hits: dict[int, float]
    conditional_hits: dict[int, float]
    mrr: float
    conditional_mrr: float
    mean_rank: float
    hits_error: dict[int, float]
    mrr_error: float
    tie: str

    def to_dict(self) -> dict:
        """Plain numbers for JSON."""
        return asdict(self)

    def format(self) -> str:
        """The figures as a table, raw and conditional side by side, in percent."""
        lines = [f'{self.num_mentions} mentions, recall of the candidates {self.recall:.2%}, ties {self.tie}',
                 f'{"":<10}{"raw":>16}{"conditional":>14}']
        for k, hit in self.hits.items():
            lines.append(f'{f"Hits@{k}":<10}{f"{hit:.2%} ± {self.hits_error[k]:.2%}":>16}'
                         f'{self.conditional_hits[k]:>14.2%}')
        lines.append(f'{"MRR":<10}{f"{self.mrr:.2%} ± {self.mrr_error:.2%}":>16}{self.conditional_mrr:>14.2%}')
        lines.append(f'{"Mean rank":<10}{"":>16}{self.mean_rank:>14.2f}')
        return '\n'.join(lines)


def rank_metrics(rank: Tensor, tie: Tie = 'pessimistic', ks: tuple[int, ...] = (1, 3, 5, 10)) -> Metrics:
    r"""Metrics of the given ranks.

    Args:
        rank: Rank of each mention's answer, float ``[M]``, infinite where it is no candidate.
        tie: The rule the ranks were made with; recorded.
        ks: The ``k`` of Hits@k.

    Raises:
        ValueError: If there are no mentions.
    """
    num_mentions = rank.numel()
    if num_mentions == 0:
        raise ValueError("There are no mentions to evaluate")
    found = rank[rank.isfinite()]
    recall = found.numel() / num_mentions
    reciprocal = 1 / rank
    hits = {k: float((rank <= k).double().mean()) for k in ks}
    return Metrics(
        num_mentions=num_mentions,
        recall=recall,
        hits=hits,
        conditional_hits={k: float((found <= k).double().mean()) if found.numel() else float('nan') for k in ks},
        mrr=float(reciprocal.mean()),
        conditional_mrr=float((1 / found).mean()) if found.numel() else float('nan'),
        mean_rank=float(found.mean()) if found.numel() else float('nan'),
        hits_error={k: (hit * (1 - hit) / num_mentions)**0.5 for k, hit in hits.items()},
        mrr_error=float(reciprocal.std(unbiased=False)) / num_mentions**0.5,
        tie=tie,
    )


def evaluate_scores(scores: Tensor, candidates: Candidates, tie: Tie = 'pessimistic') -> Metrics:
    r"""Metrics of one score per pair ``[P]``, in the order of the lists; see :func:`gold_ranks`, :class:`Metrics`."""
    return rank_metrics(gold_ranks(scores, candidates, tie), tie)
