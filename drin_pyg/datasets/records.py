r"""The records of the field: mentions and entities as readable objects, no tensors."""

import re
import unicodedata
from dataclasses import dataclass

from drin_pyg.datasets.picture import Picture


@dataclass(frozen=True)
class Entity:
    r"""An entry of the knowledge base.

    Args:
        id: Identifier, unique in the knowledge base.
        name: Name.
        description: Description; may be empty.
        pictures: Its pictures: none, one or several.
    """

    id: str
    name: str
    description: str = ''
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Mention:
    r"""A mention in its sentence, perhaps with pictures, to be linked to an entity.

    Args:
        id: Identifier, unique in the data set.
        surface: The words that mention the entity.
        sentence: The sentence around them (whatever text there is; it need not repeat ``surface``).
        pictures: Pictures beside the sentence: none, one or several.
        answer: Id of the entity that is meant; None if that is unknown, or no entity (see ``nil``).
        candidates: Ids of the candidate entities.
        split: Name of the split the mention belongs to.
        span: First character of the mention in the sentence and the one after its last; None where
            it does not occur there. :func:`find_span` finds it where a data set does not say.
        captions: Texts about pictures that the data set describes and does not hold.
        nil: Whether the mention is known to mean no entity of the knowledge base.
    """

    id: str
    surface: str
    sentence: str
    pictures: tuple[Picture, ...] = ()
    answer: str | None = None
    candidates: tuple[str, ...] = ()
    split: str = ''
    span: tuple[int, int] | None = None
    captions: tuple[str, ...] = ()
    nil: bool = False


def find_span(sentence: str, surface: str, start: int | None = None, end: int | None = None) -> tuple[int, int] | None:
    r"""Where a mention stands in its sentence, ``(start, end)`` in characters, end exclusive.

    Offsets that hold exactly the mention's words are taken as they are. Otherwise the occurrence
    nearest to ``start`` (the first, if no offsets are given) counts, as written before in other
    case. None if there is no occurrence.
    """
    if not surface:
        return None
    # Of offsets that Python counts from the end, or that reach beyond it, a slice can hold the words by accident.
    if start is not None and start >= 0 and end == start + len(surface) and sentence[start:end] == surface:
        return start, end
    pattern = re.escape(surface)
    for flags in (0, re.IGNORECASE):
        found = [match.span() for match in re.finditer(pattern, sentence, flags)]
        if found:
            return min(found, key=lambda span: abs(span[0] - (start or 0)))
    return None


def plain(text: str) -> str:
    r"""A text without what does not matter: case, kinds of space, and Unicode's ways to write one character."""
    return ' '.join(unicodedata.normalize('NFKC', text).casefold().split())
