import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drin_pyg.datasets import Mention, Picture, find_span
from drin_pyg.datasets.raw_files import check, field

FIELDS = ('id', 'sentence', 'mention', 'start', 'end', 'images', 'captions', 'candidates', 'answer', 'split')


@dataclass(frozen=True)
class LinkRequest:
    r"""A mention to be linked.

    Args:
        mention: The mention.
        candidates: Ids of the entities to compare; None retrieves some.
    """

    mention: Mention
    candidates: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for name, text in (('sentence', self.mention.sentence), ('mention', self.mention.surface)):
            if not text.strip():
                raise ValueError(f"The {name} is empty; there is nothing to link")
        for picture in self.mention.pictures:
            picture.open()  # the user named it, so a bad one is an error and not a missing image

    @classmethod
    def read(cls, record: dict | str | bytes | Mention, number: int = 1, folder: Path | None = None) -> 'LinkRequest':
        r"""Reads a record.

        Args:
            record: A :class:`~drin_pyg.datasets.Mention`, whose candidates are compared if it has some; a
                dict with the fields of a line of ``mentions.jsonl`` (:class:`~drin_pyg.datasets.MELFolder`),
                of which ``"sentence"`` and ``"mention"`` are needed, and ``"images"`` may be one path; or
                that as a line of JSON.
            number: Number of the record; the id of one that has none.
            folder: What the images' paths are relative to; None for the working folder.

        Raises:
            ValueError: If the record has a field that is missing, unknown, empty or of another kind.
            PictureError: If an image is missing or cannot be used.
        """
        if isinstance(record, Mention):
            return cls(record, record.candidates or None)
        if isinstance(record, str | bytes):
            try:
                record = json.loads(record)
            except json.JSONDecodeError as error:
                raise ValueError(f'The line is no JSON: {error}') from error
        record = check(record, dict, 'a record')
        if unknown := [name for name in record if name not in FIELDS]:
            raise ValueError(f"There is no field {unknown[0]!r}; there are {', '.join(FIELDS)}")
        sentence, surface = field(record, 'sentence', str), field(record, 'mention', str)
        span = find_span(sentence, surface, field(record, 'start', int, None), field(record, 'end', int, None))
        pictures = tuple(Picture((folder or Path()) / path) for path in _paths(record.get('images') or ()))
        return cls(
            Mention(field(record, 'id', str, str(number)), surface, sentence, pictures, span=span,
                    captions=tuple(field(record, 'captions', list, []))),
            field(record, 'candidates', list, None))


def _paths(images: Any) -> list[Path]:
    """One path or several, as a list."""
    images = [images] if isinstance(images, str | Path) else images
    if not isinstance(images, list | tuple) or not all(isinstance(path, str | Path) for path in images):
        raise ValueError(f"'images' must be a path or a list of paths, got {images!r:.60}")
    return [Path(path) for path in images]
