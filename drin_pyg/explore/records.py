r"""What the page shows, as plain records."""

from dataclasses import dataclass

from torch_geometric.data import HeteroData

from drin_pyg.datasets import Mention
from drin_pyg.features import Candidates
from drin_pyg.linking import LinkedCandidate


@dataclass(frozen=True, eq=False)
class Opened:
    r"""A mention that is looked at.

    Args:
        mention: The mention.
        lists: Its candidates, the one list of a :class:`~drin_pyg.features.Candidates`.
        batch: The graphs of its ``P`` pairs.
        answer: Row of the entity that is meant; None if that is unknown.
        places: Place of each candidate in the ranking of the model as it was trained, from 1.
    """

    mention: Mention
    lists: Candidates
    batch: HeteroData
    answer: int | None = None
    places: tuple[int, ...] = ()


@dataclass(frozen=True)
class RankedCandidate:
    r"""A candidate in the ranking under some strengths.

    Args:
        linked: Entity, score, probability and weights.
        pair: Its number among the pairs of the :class:`Opened`.
        place: Its place, from 1.
        place_before: Its place with the model as it was trained.
        terms: Relation name to what it adds to the score.
        is_answer: Whether it is the answer; None if that is unknown.
    """

    linked: LinkedCandidate
    pair: int
    place: int
    place_before: int
    terms: dict[str, float]
    is_answer: bool | None


@dataclass(frozen=True)
class Ranking:
    r"""The candidates of a mention, best first.

    Args:
        mention: The mention.
        candidates: All of them.
        confidence: As in :class:`~drin_pyg.linking.Link`, as is ``nil``.
        nil: Whether no entity is meant.
        changed: Whether strengths are other than 1.
    """

    mention: Mention
    candidates: list[RankedCandidate]
    confidence: float | None
    nil: bool | None
    changed: bool


@dataclass(frozen=True)
class Judged:
    r"""A mention of the data, and what the model makes of it.

    Args:
        row: Number of the mention in the data.
        rank: Rank of its answer, ties lost; infinite if it is not among the candidates.
        chosen: Row of the entity that is ranked first; None of an empty list.
        answer: Row of the answer; None if the mention has no entity (NIL).
        probability: Probability of the chosen one, NaN if unknown.
        nil: Whether the mention was called NIL; None without a calibration.
    """

    row: int
    rank: float
    chosen: int | None
    answer: int | None
    probability: float
    nil: bool | None

    @property
    def right(self) -> bool:
        r"""Whether the mention was answered right, by the right entity or by NIL."""
        return self.answer is None if self.nil else self.rank == 1
