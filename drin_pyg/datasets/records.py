r"""The records of the field: mentions and entities as readable objects, no tensors."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Picture:
    r"""A picture on disk: a whole file, or one cell of a sprite sheet.

    Args:
        path: The image file.
        box: ``(left, upper, right, lower)`` in pixels of the cell; None for the whole file.
    """

    path: Path
    box: tuple[int, int, int, int] | None = None

    def open(self) -> 'Image.Image':
        """The picture as RGB; transparent pixels become white.

        Raises:
            FileNotFoundError: If there is no such file.
            PIL.UnidentifiedImageError: If the file is no image that PIL reads.
        """
        from PIL import Image

        if self.box is not None:
            image = _open_sheet(self.path).crop(self.box)
        else:
            with Image.open(self.path) as file:
                image = file.convert('RGBA')
        white = Image.new('RGBA', image.size, 'white')
        white.alpha_composite(image)
        return white.convert('RGB')


@lru_cache(maxsize=4)
def _open_sheet(path: Path) -> 'Image.Image':
    """A decoded sprite sheet; kept, because its cells are asked for one by one."""
    from PIL import Image

    with Image.open(path) as file:
        return file.convert('RGBA')


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
        answer: Id of the entity that is meant; None if unknown.
        candidates: Ids of the candidate entities.
        split: Name of the split the mention belongs to.
    """

    id: str
    surface: str
    sentence: str
    pictures: tuple[Picture, ...] = ()
    answer: str | None = None
    candidates: tuple[str, ...] = ()
    split: str = ''
