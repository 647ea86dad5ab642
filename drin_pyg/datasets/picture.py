import os
import stat
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image

Reason = Literal['missing', 'unreadable', 'empty', 'not an image', 'damaged', 'too large', 'unsupported']


class PictureError(ValueError):
    r"""A picture that cannot be used.

    Args:
        path: The file.
        reason: Why: ``"missing"`` (no such file), ``"unreadable"`` (the system refuses), ``"empty"``
            (no bytes), ``"not an image"`` (whatever its name says), ``"damaged"`` (cut off, its pixels cannot
            be decoded, or it does not hold the cell), ``"too large"`` (more than
            ``PIL.Image.MAX_IMAGE_PIXELS`` pixels once decoded), or ``"unsupported"`` (pixels whose range
            nothing tells, or a format that another program would have to draw).
        detail: What the decoder said.
    """

    def __init__(self, path: Path, reason: Reason, detail: str = ''):
        super().__init__(path, reason, detail)
        self.path = path
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"Picture '{self.path!s:.1000}' is {self.reason}{f': {self.detail}' if self.detail else ''}"


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
        r"""The picture as RGB of 8 bits, the way it is meant to be seen.

        Transparent pixels become white, 16-bit channels are scaled to 8, the orientation that a
        camera noted (EXIF) is applied, and of an animation the first frame is taken.

        Raises:
            PictureError: If it cannot be used; a bad file raises nothing else.
        """
        if self.box is not None:
            sheet = _open_sheet(self.path)
            left, upper, right, lower = self.box
            if not (0 <= left < right <= sheet.width and 0 <= upper < lower <= sheet.height):  # PIL would fill it black
                raise PictureError(self.path, 'damaged', f'{sheet.width} x {sheet.height} pixels, no cell {self.box}')
            return sheet.crop(self.box)
        return _decode(self.path)


@lru_cache(maxsize=4)
def _open_sheet(path: Path) -> 'Image.Image':
    """A decoded sprite sheet; kept, because its cells are asked for one by one."""
    return _decode(path)


def _decode(path: Path) -> 'Image.Image':
    from PIL import Image, ImageFile, UnidentifiedImageError

    _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # odd metadata is not what is looked at here
            # PIL warns above its limit of pixels and raises above twice that; here the limit is the limit.
            warnings.filterwarnings('error', category=Image.DecompressionBombWarning)
            with Image.open(path) as file:
                if file.size[0] * file.size[1] > (Image.MAX_IMAGE_PIXELS or float('inf')):
                    raise PictureError(path, 'too large', f'{file.size[0]} x {file.size[1]} pixels')
                # EPS would be handed to Ghostscript, which runs what the file says; a stub has no decoder at all.
                if file.format == 'EPS' or isinstance(file, ImageFile.StubImageFile):
                    raise PictureError(path, 'unsupported', f'its format is {file.format}')
                return _to_rgb(_upright(file), path)
    except PermissionError:
        raise PictureError(path, 'unreadable') from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(path, 'too large', str(error)) from error
    except UnidentifiedImageError:
        raise PictureError(path, 'not an image') from None
    except PictureError:
        raise
    # Decoders of some forty formats raise what comes to hand on mutilated bytes, down to struct.error and IndexError.
    except Exception as error:
        raise PictureError(path, 'damaged', f'{type(error).__name__}: {error}') from error


def _check_file(path: Path) -> None:
    """Refuses what is no file with something in it; a pipe must not even be opened, which would wait for ever."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise PictureError(path, 'missing') from None
    except (OSError, ValueError) as error:  # a loop of links, a name too long or with a NUL
        raise PictureError(path, 'unreadable', getattr(error, 'strerror', None) or str(error)) from None
    if not stat.S_ISREG(status.st_mode):
        raise PictureError(path, 'not an image', f"it is {'a folder' if stat.S_ISDIR(status.st_mode) else 'no file'}")
    if status.st_size == 0:
        raise PictureError(path, 'empty')


def _upright(image: 'Image.Image') -> 'Image.Image':
    """The picture turned as its camera noted; a note that cannot be read does not spoil the picture."""
    from PIL import ImageOps

    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # as in _decode
        return image


def _to_rgb(image: 'Image.Image', path: Path) -> 'Image.Image':
    from PIL import Image

    if image.mode.startswith('I'):
        image.load()
        low, high = image.getextrema()
        if low < 0 or high > 65535:
            raise PictureError(path, 'unsupported', f'its pixels run from {low} to {high}, beyond 16 bits')
        return image.convert('I').point(lambda value: value * (1 / 257)).convert('L').convert('RGB')
    if image.mode == 'F':
        raise PictureError(path, 'unsupported', 'its pixels are floating-point numbers of no known range')
    if not image.has_transparency_data:
        return image.convert('RGB')
    image = image.convert('RGBA')
    white = Image.new('RGBA', image.size, 'white')
    white.alpha_composite(image)
    return white.convert('RGB')
