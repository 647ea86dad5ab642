r"""Every format of pictures that is read: real ones in each of its colour modes, and code that reads and checks one."""

import io
from collections.abc import Callable
from pathlib import Path

from drin_pyg.datasets import EmojiMEL, Picture

# Name of a format of Pillow's, and how it is written; colour modes that it can hold.
PICTURES = {
    'png': ('RGBA', 'P', 'L', 'I;16', '1'), 'jpeg': ('RGB', 'L', 'CMYK'), 'webp': ('RGB', 'RGBA'), 'gif': ('P', 'L'),
    'bmp': ('RGB', 'P', '1'), 'tiff': ('RGB', 'RGBA', 'L', 'I;16', 'CMYK', 'YCbCr'), 'ico': ('RGBA', ),
    'ppm': ('RGB', 'L'),
    'avif': ('RGB', 'RGBA'), 'jpeg2000': ('RGB', 'L'), 'tga': ('RGB', 'RGBA'), 'pcx': ('RGB', 'P'), 'dds': ('RGBA', ),
    'sgi': ('RGB', ), 'icns': ('RGBA', ), 'mpo': ('RGB', ), 'qoi': ('RGBA', ),
}


def write_picture(name: str) -> Callable[[Path], None]:
    r"""Writes real pictures, each in one of the colour modes of a format."""
    def write(folder: Path) -> None:
        cells = [mention.pictures[0].open() for mention in EmojiMEL().mentions[::700]]
        for i, mode in enumerate(PICTURES[name]):
            cell = cells[i % len(cells)]
            if mode == 'RGBA':
                cell.putalpha(cell.convert('L'))
            image = cell.convert('L').convert('I').point(lambda v: v * 257).convert(mode) if mode == 'I;16' \
                else cell.convert(mode)
            more = {}
            if name in ('gif', 'webp', 'tiff', 'mpo', 'png', 'avif') and i == 0:
                more = {'save_all': True, 'append_images': [image.rotate(90), image.rotate(180)]}
            if name == 'tiff':
                more['compression'] = ('tiff_lzw', 'tiff_deflate', 'packbits', None, 'tiff_adobe_deflate', 'jpeg')[i]
            if name == 'jpeg':
                more |= {'exif': _turned(), 'progressive': i % 2 == 0}
            if name in ('png', 'webp') and i == 0:
                more['exif'] = _turned()
            content = io.BytesIO()
            image.save(content, name, **more)
            (folder / f'{i}.{name}').write_bytes(content.getvalue())
    return write


def _turned() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010e] = 'A drawing'
    return exif.tobytes()


def read_picture(place: Path) -> None:
    for path in [place] if place.is_file() else sorted(place.iterdir()):
        image = Picture(path).open()
        assert image.mode == 'RGB'
        assert min(image.size) > 0
        image.getextrema()
