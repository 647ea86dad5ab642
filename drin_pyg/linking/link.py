from dataclasses import dataclass

from drin_pyg.datasets import Mention
from drin_pyg.linking.linked_candidate import LinkedCandidate


@dataclass(frozen=True)
class Link:
    r"""What a mention was linked to.

    Args:
        mention: The mention.
        candidates: The best candidates, best first.
        confidence: Probability that the first of them is right, NIL being possible; None without a
            :class:`Calibration`.
        nil: Whether no entity is meant: the confidence is below the calibration's threshold. None without
            a calibration.
    """

    mention: Mention
    candidates: list[LinkedCandidate]
    confidence: float | None
    nil: bool | None

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return {'id': self.mention.id, 'mention': self.mention.surface, 'sentence': self.mention.sentence,
                'nil': self.nil, 'confidence': self.confidence,
                'candidates': [candidate.to_dict() for candidate in self.candidates]}


def format_link(link: Link) -> str:
    r"""Ranked candidates as a table, each relation's first and last weight beside the score, and the NIL decision."""
    if not link.candidates:
        return 'No candidates.'
    relations = list(link.candidates[0].weights)
    width = max(6, *(len(candidate.entity.name) for candidate in link.candidates))
    lines = ['  '.join([f'{"":>3}', f'{"entity":<{width}}', f'{"score":>8}', f'{"prob.":>7}',
                        *(f'{name:>16}' for name in relations)])]
    for place, candidate in enumerate(link.candidates, 1):
        cells = []
        for name in relations:
            first, last = (candidate.weights[name][end] for end in (0, -1))
            cells.append(' -> '.join('-' if weight is None else f'{weight:.2f}' for weight in (first, last)))
        probability = '-' if candidate.probability is None else f'{candidate.probability:.1%}'
        lines.append('  '.join([f'{place:>3}', f'{candidate.entity.name:<{width}}', f'{candidate.score:>8.3f}',
                                f'{probability:>7}', *(f'{cell:>16}' for cell in cells)]))
    lines.append('Relations: first weight (as it enters the first layer) -> last weight.')
    lines.append('NIL: unknown; `drin-pyg calibrate` fits the decision.' if link.nil is None else
                 f"NIL: {'yes' if link.nil else 'no'} (confidence {link.confidence:.0%})")
    return '\n'.join(lines)
