r"""What pages show of records: pictures, the words of a mention in their sentence, names of relations and depths."""

import base64
import re
from functools import lru_cache
from io import BytesIO

from drin_pyg.datasets import Picture

PICTURE_SIZE = 192  # pixels of the longer side in the page, at most


def sentence_parts(sentence: str, surface: str) -> list[str]:
    r"""The sentence cut at the surface words: every second part is one."""
    return re.split(rf'(?<!\w)({re.escape(surface)})(?!\w)', sentence, flags=re.IGNORECASE) if surface else [sentence]


def first_picture(pictures: tuple[Picture, ...]) -> str | None:
    r"""The first picture as a data URI; None if there is none.

    Raises:
        PictureError: If it cannot be used.
    """
    return _data_uri(pictures[0]) if pictures else None


@lru_cache(maxsize=4096)
def _data_uri(picture: Picture) -> str:
    image = picture.open()
    image.thumbnail((PICTURE_SIZE, PICTURE_SIZE))
    file = BytesIO()
    image.save(file, 'PNG', optimize=True)
    return 'data:image/png;base64,' + base64.b64encode(file.getvalue()).decode()


def relation_label(relation: str) -> str:
    r"""A relation as a reader says it, mention side first."""
    return relation.replace('_', '\N{EN DASH}')


def depth_label(depth: int) -> str:
    r"""Where weights are seen: 0 is what enters the first layer."""
    return f'leaving layer {depth}' if depth else 'entering layer 1'
