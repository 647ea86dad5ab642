from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from drin_pyg.datasets import Findings


@dataclass(frozen=True)
class TablesSummary:
    r"""What a folder of encoded data holds.

    Args:
        folder: The folder.
        shapes: Side (``"mention"``, ``"entity"``) and role (``"text"``, ``"image"``) to the shape of the features.
        preset: Name of the encoders; None for data that came as features.
        notes: What to know of the data, by topic.
        unusable: Picture to the reason why it could not be encoded, and counts as missing.
        findings: What was found in the data; None for data that came as features.
    """

    folder: Path
    shapes: dict[str, dict[str, list[int]]]
    preset: str | None
    notes: dict[str, str]
    unusable: dict[str, str]
    findings: Findings | None = None

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return {'folder': str(self.folder), 'preset': self.preset, 'shapes': self.shapes, 'notes': self.notes,
                'unusable': self.unusable, 'findings': self.findings.to_dict() if self.findings else {}}

    def format(self) -> str:
        """The same for people to read."""
        lines = [f'Tables in {self.folder}:']
        for side, of_role in self.shapes.items():
            shapes = ', '.join(f"{role} {' x '.join(map(str, shape))}" for role, shape in of_role.items())
            lines.append(f'  {side:<8} {shapes}')
        lines += [f'  Note: {note}' for note in self.notes.values()]
        if self.unusable:
            reasons = ', '.join(f'{count} {reason}' for reason, count in Counter(self.unusable.values()).most_common())
            lines.append(f'  {len(self.unusable)} pictures could not be used, and count as missing ({reasons}); the '
                         f'first: {next(iter(self.unusable))}')
        if self.findings and (found := self.findings.format()):
            lines += ['Found in the data (! = not usable as it stands):', found]
        return '\n'.join(lines)
