r"""What relation diagnostics find, as plain records."""

from dataclasses import asdict, dataclass, field
from typing import Literal

from drin_pyg.evaluation.diagnose_pass import Part
from drin_pyg.evaluation.diagnose_vertices import VertexStatistics
from drin_pyg.evaluation.diagnose_weights import WeightStatistics
from drin_pyg.files import plain


@dataclass(frozen=True)
class OrderUpdate:
    r"""How a layer reorders a mention's candidates by one relation: Spearman's correlation of the weights that enter
    and leave it, mean over ``num_mentions`` mentions, with the standard error."""

    relation: str
    layer: int
    correlation: float
    error: float
    num_mentions: int


@dataclass(frozen=True)
class DepthReading:
    r"""Accuracy of the score that is read off the vertices and weights of one depth, with the standard error."""

    depth: int
    accuracy: float
    error: float


@dataclass(frozen=True)
class ScoreShare:
    r"""Share of the score's variance over a mention's candidates that one of its terms contributes.

    With :math:`t` the term and :math:`s` the score, both less their mention's mean, it is
    :math:`\sum t s / \sum s^2`; the shares add up to 1, and one that is negative works against the rest.
    """

    relation: str
    part: Part
    share: float


@dataclass(frozen=True)
class Ablation:
    r"""What an intervention on the trained model costs; see :func:`~drin_pyg.evaluation.diagnose_pass.interventions`.

    Args:
        name: Name of the intervention.
        relation: The relation concerned, if it is one.
        accuracy: Accuracy under it.
        drop: Accuracy of the model less that.
        error: Standard error of the drop over mentions.
        p_value: Of :func:`paired_test` on the mentions' hits.
        changed: Share of the mentions whose hit it changes, either way.
    """

    name: str
    relation: str | None
    accuracy: float
    drop: float
    error: float
    p_value: float
    changed: float


@dataclass(frozen=True)
class Finding:
    r"""A known way to fail, and whether the model shows it; see :mod:`~drin_pyg.evaluation.diagnose_findings`.

    Args:
        name: Name of the failure.
        verdict: ``"ok"``, ``"warning"`` or ``"not applicable"``.
        text: One sentence why.
        numbers: The figures behind it.
    """

    name: str
    verdict: Literal['ok', 'warning', 'not applicable']
    text: str
    numbers: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Diagnosis:
    r"""What :func:`~drin_pyg.evaluation.diagnose.diagnose` found.

    Accuracies are raw: ties lose, an answer that is no candidate is a miss.
    """

    num_mentions: int
    num_pairs: int
    num_layers: int
    context: str
    accuracy: float
    accuracy_error: float
    weights: list[WeightStatistics]
    updates: list[OrderUpdate]
    vertices: list[VertexStatistics]
    readings: list[DepthReading]
    shares: list[ScoreShare]
    ablations: list[Ablation]
    findings: list[Finding] = field(default_factory=list)

    def to_dict(self) -> dict:
        r"""Plain numbers for JSON; None where there is none."""
        return plain(asdict(self))
