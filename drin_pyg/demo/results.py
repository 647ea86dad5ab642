r"""What the demo found, as plain records: the contract between its runs and its report."""

from dataclasses import dataclass, field

import numpy as np

from drin_pyg.datasets import Entity, Mention


@dataclass(frozen=True)
class System:
    r"""One line of the table: a system and how it did on the test mentions.

    Args:
        name: Name, such as ``"DRIN, best"``.
        group: ``"baseline"``, ``"published"``, ``"best"`` or ``"ablation"``.
        hit: Whether the answer was ranked first (ties lose), by seed and mention, float ``[S, M]``;
            the chance of it for the random baseline.
        reciprocal_rank: 1 / rank of the answer, ``[S, M]``.
        val_top1: Top-1 on the validation mentions, mean over seeds; NaN if not computed.
        seconds: Training time of all seeds.
        p_value: Of the paired test against the better late fusion; None for baselines.
    """

    name: str
    group: str
    hit: np.ndarray
    reciprocal_rank: np.ndarray
    val_top1: float = float('nan')
    seconds: float = 0.0
    p_value: float | None = None

    @property
    def num_seeds(self) -> int:
        """Number of seeds ``S``."""
        return self.hit.shape[0]

    @property
    def top1(self) -> float:
        """Top-1 accuracy, mean over seeds."""
        return float(self.hit.mean())

    @property
    def mrr(self) -> float:
        """Mean reciprocal rank, mean over seeds."""
        return float(self.reciprocal_rank.mean())

    @property
    def top1_error(self) -> float:
        """Standard error of ``top1`` over mentions (of the seeds' mean on each mention)."""
        return float(self.hit.mean(0).std() / self.hit.shape[1]**0.5)

    @property
    def top1_seed_std(self) -> float:
        """Standard deviation of the seeds' accuracies; 0 for one seed."""
        return float(self.hit.mean(1).std(ddof=1)) if self.num_seeds > 1 else 0.0


@dataclass(frozen=True)
class Candidate:
    r"""A ranked candidate of an example.

    Args:
        entity: The entity.
        score: Its score.
        probability: Softmax of the scores over the mention's candidates.
        is_answer: Whether it is the right one.
        weights: Relation name to its weight at each depth (entering layer 1, ..., leaving the last
            layer); NaN where the pair has no such edge.
    """

    entity: Entity
    score: float
    probability: float
    is_answer: bool
    weights: dict[str, list[float]]


@dataclass(frozen=True)
class Example:
    r"""A test mention and its ranked candidates, best first; the answer is always among those kept."""

    mention: Mention
    rank: int
    candidates: list[Candidate]


@dataclass(frozen=True)
class EdgeWeights:
    r"""Distribution of one relation's weight at one depth over the test pairs.

    Args:
        relation: Name of the relation.
        depth: 0 for the first weights, ``l`` for those that leave layer ``l``.
        answer: Weights of the right pairs, ``[A]``.
        other: Weights of the wrong pairs, ``[B]``.
    """

    relation: str
    depth: int
    answer: np.ndarray
    other: np.ndarray


@dataclass(frozen=True)
class Results:
    r"""Everything the report shows.

    Args:
        systems: Lines of the table, in order.
        curve: Training curve of the best system's first seed: a record per epoch with ``epoch``,
            ``train_loss``, ``val_mrr``, ``val_top1``.
        edge_weights: Distributions of the best system's relation weights.
        examples: Test mentions to look at.
        num_mentions: Test mentions.
        num_entities: Entities of the knowledge base.
        settings: What was run, for the reader: label to text (sizes, epochs, seeds, versions, machine).
        seconds: Wall time of the whole demo.
    """

    systems: list[System]
    curve: list[dict[str, float]]
    edge_weights: list[EdgeWeights]
    examples: list[Example]
    num_mentions: int
    num_entities: int
    settings: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
