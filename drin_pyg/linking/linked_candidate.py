from dataclasses import dataclass

from drin_pyg.datasets import Entity


@dataclass(frozen=True)
class LinkedCandidate:
    r"""A ranked candidate of a mention.

    Args:
        entity: The entity.
        score: The model's score.
        probability: Probability among the candidates that were compared, if the answer is one of them;
            see :class:`Calibration`. Without a calibration it is the softmax of the scores, or None
            for a model whose score is a cosine, not a logit.
        weights: Relation name to its weight at each depth (entering the first layer, ..., leaving
            the last); None where the pair has no such edge or nothing reads it.
    """

    entity: Entity
    score: float
    probability: float | None
    weights: dict[str, list[float | None]]

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return {'id': self.entity.id, 'name': self.entity.name, 'description': self.entity.description,
                'score': self.score, 'probability': self.probability, 'weights': self.weights}
