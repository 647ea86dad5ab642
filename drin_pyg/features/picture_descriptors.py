r"""Hand-made descriptors of small pictures, from scikit-image: no weights, no training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL import Image

SIZE = 64          # pixels of the square that a drawing is stretched to
BACKGROUND = 0.06  # a pixel this close to white (of 1) belongs to the background


def describe_pictures(pictures: Sequence['Image.Image']) -> Tensor:
    r"""Describes drawings on a white ground by shape, layout and colour.

    The drawing is cut out of its white margin and stretched to a square, so that size and place in
    the cell do not matter. Four blocks follow, each scaled to length 1: the Lab colours of a 16 x 16
    thumbnail, histograms of oriented gradients with cells of 8 pixels and 16 orientations, the same
    on the half-size picture with cells of 4, and a joint histogram of Lab colours of the drawing
    (at half weight).

    Args:
        pictures: RGB pictures of any size.

    Returns:
        float32 ``[len(pictures), F]``.
    """
    return torch.from_numpy(np.stack([_describe(picture) for picture in pictures]).astype(np.float32))


def _describe(picture: 'Image.Image') -> np.ndarray:
    from skimage.color import rgb2lab
    from skimage.feature import hog
    from skimage.transform import resize

    image = np.asarray(picture.convert('RGB'), dtype=np.float32) / 255  # [H, W, 3]
    drawn = (1 - image).max(-1) > BACKGROUND                             # [H, W]
    if drawn.any():
        rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
        image = image[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    image = resize(image, (SIZE, SIZE), order=1, anti_aliasing=False)
    lab = rgb2lab(image) / 100                                           # [64, 64, 3]
    thumbnail = lab.reshape(16, 4, 16, 4, 3).mean((1, 3))
    half = image.reshape(SIZE // 2, 2, SIZE // 2, 2, 3).mean((1, 3))
    fine = hog(image, 16, (8, 8), (2, 2), 'L2-Hys', channel_axis=-1)
    coarse = hog(half, 9, (4, 4), (2, 2), 'L2-Hys', channel_axis=-1)
    ink = (1 - image).max(-1) > BACKGROUND
    colours, _ = np.histogramdd(lab[ink], bins=(5, 7, 7), range=((0, 1), (-.7, .7), (-.7, .7)))
    blocks = (thumbnail - thumbnail.mean((0, 1)), fine, coarse, 0.5 * np.sqrt(colours))
    weights = (1, 1, 1, 0.5)
    return np.concatenate([w * _unit(block.ravel()) for w, block in zip(weights, blocks, strict=True)])


def _unit(x: np.ndarray) -> np.ndarray:
    return x / (np.linalg.norm(x) + 1e-9)
