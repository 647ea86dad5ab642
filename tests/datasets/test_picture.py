import io
import os
import pickle
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from drin_pyg.datasets import Picture, PictureError

NOISE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
FORMATS = ('PNG', 'JPEG', 'WEBP', 'GIF', 'TIFF', 'BMP')
formats = pytest.mark.parametrize('kind', FORMATS)


def pixels(path, box=None):
    image = Picture(path, box).open()
    assert image.mode == 'RGB'
    return np.asarray(image)


def refusal(path, box=None):
    with pytest.raises(PictureError) as caught:
        Picture(path, box).open()
    assert caught.value.path == path
    return caught.value


def outcome(path):
    """The mode of the picture, or why there is none; any other error comes through."""
    try:
        return Picture(path).open().mode
    except PictureError as error:
        return error.reason


def encoded(image, kind, **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'a.png'  # what a file is, is read from its bytes


# What a picture looks like

def test_transparent_pixels_become_white(path):
    # A transparent pixel has a colour too, which nobody is meant to see.
    Image.fromarray(np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]], dtype=np.uint8)).save(path)
    assert pixels(path).tolist() == [[[255, 0, 0], [255, 255, 255], [204, 204, 204]]]


@pytest.mark.parametrize(('kind', 'options', 'second'), [
    ('PNG', {}, [0, 255, 0]),
    ('PNG', {'transparency': 1}, [255, 255, 255]),
    ('PNG', {'transparency': b'\xff\x33'}, [204, 255, 204]),  # a fifth of green on white
    ('GIF', {}, [0, 255, 0]),
    ('GIF', {'transparency': 1}, [255, 255, 255]),
])
def test_palette(path, kind, options, second):
    image = Image.new('P', (2, 1))
    image.putpalette([0, 0, 255, 0, 255, 0])
    image.putdata([0, 1])
    path.write_bytes(encoded(image, kind, **options))
    assert pixels(path).tolist() == [[[0, 0, 255], second]]


@pytest.mark.parametrize(('mode', 'transparency', 'pixel'), [('L', 7, (7, 7, 7)), ('RGB', (1, 2, 3), (1, 2, 3))])
def test_one_colour_can_be_transparent(path, mode, transparency, pixel):
    image = Image.new('RGB', (2, 1), pixel)
    image.putpixel((1, 0), (90, 90, 90))
    image.convert(mode).save(path, transparency=transparency)
    assert pixels(path).tolist() == [[[255, 255, 255], [90, 90, 90]]]


@pytest.mark.parametrize('mode', ['L', 'LA', 'P', 'RGB', 'RGBA', '1'])
def test_every_mode_becomes_rgb(path, mode):
    Image.new('RGB', (3, 2), 'white').convert(mode).save(path)
    assert (pixels(path) == np.full((2, 3, 3), 255)).all()


def test_cmyk(path):
    # Large even fields, which JPEG keeps: no ink, cyan, black.
    image = Image.new('CMYK', (24, 8))
    image.paste((255, 0, 0, 0), (8, 0, 16, 8))
    image.paste((0, 0, 0, 255), (16, 0, 24, 8))
    path.write_bytes(encoded(image, 'JPEG', quality=100))
    assert np.abs(pixels(path)[4, [4, 12, 20]].astype(int) - [[255] * 3, [0, 255, 255], [0] * 3]).max() <= 2


@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_sixteen_bits_are_scaled_to_eight(path, kind):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    path.write_bytes(encoded(values, kind))
    found = pixels(path)
    assert np.abs(found - (values / 257)[..., None]).max() < 1
    assert found[0, 0].tolist() == [0, 0, 0]
    assert found[-1, -1].tolist() == [255, 255, 255]


def test_whole_numbers_within_sixteen_bits_are_scaled_too(path):
    path.write_bytes(encoded(np.array([[0, 257 * 9, 65535]], dtype=np.int32), 'TIFF'))
    assert np.abs(pixels(path)[0, :, 0].astype(int) - [0, 9, 255]).max() <= 1


@pytest.mark.parametrize(('values', 'detail'), [
    (np.array([[0, 65536]], dtype=np.int32), 'its pixels run from 0 to 65536, beyond 16 bits'),
    (np.array([[-1, 9]], dtype=np.int32), 'its pixels run from -1 to 9, beyond 16 bits'),
    (np.array([[0.5, 1]], dtype=np.float32), 'its pixels are floating-point numbers of no known range'),
])
def test_pixels_of_no_known_range(path, values, detail):
    path.write_bytes(encoded(values, 'TIFF'))
    assert (refusal(path).reason, refusal(path).detail) == ('unsupported', detail)


@pytest.mark.parametrize(('kind', 'options'), [('GIF', {}), ('WEBP', {'lossless': True}), ('PNG', {})])
def test_first_frame_of_an_animation(path, kind, options):
    frames = [Image.new('RGB', (5, 4), color) for color in ('red', 'blue', 'lime')]
    path.write_bytes(encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options))
    with Image.open(path) as file:
        assert file.n_frames == 3
    assert (pixels(path) == [255, 0, 0]).all()


@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'WEBP'])
@pytest.mark.parametrize(('orientation', 'turn'), [
    (1, lambda a: a),
    (2, lambda a: a[:, ::-1]),
    (3, lambda a: a[::-1, ::-1]),
    (4, lambda a: a[::-1]),
    (5, lambda a: a.swapaxes(0, 1)),
    (6, lambda a: a[::-1].swapaxes(0, 1)),  # a quarter to the right: the first column runs upwards
    (7, lambda a: a[::-1, ::-1].swapaxes(0, 1)),
    (8, lambda a: a.swapaxes(0, 1)[::-1]),
    (9, lambda a: a),  # means nothing
])
def test_orientation_that_a_camera_noted(path, kind, orientation, turn):
    path.write_bytes(encoded(NOISE, kind))
    upright = pixels(path)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.write_bytes(encoded(NOISE, kind, exif=exif))
    assert np.array_equal(pixels(path), turn(upright))


@pytest.mark.parametrize('exif', [b'Exif\0\0hello', b'Exif\0\0', b'Exif\0\0II*\0\xff\xff\xff\x7f'])
@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'WEBP'])
def test_broken_notes_of_a_camera_do_not_spoil_the_picture(path, kind, exif):
    path.write_bytes(encoded(NOISE, kind, exif=exif))
    assert pixels(path).shape == NOISE.shape


@formats
def test_one_pixel(path, kind):
    path.write_bytes(encoded(Image.new('RGB', (1, 1), 'white'), kind))
    assert pixels(path).tolist() == [[[255, 255, 255]]]


# Cells of a sheet

def test_cell_of_a_sheet(path):
    Image.fromarray(NOISE).save(path)
    assert np.array_equal(pixels(path, (2, 1, 5, 3)), NOISE[1:3, 2:5])
    assert np.array_equal(pixels(path, (0, 0, 24, 16)), NOISE)


def test_cells_of_one_sheet_do_not_disturb_each_other(path):
    Image.fromarray(NOISE).save(path)
    Picture(path, (0, 0, 2, 2)).open().putpixel((0, 0), (9, 9, 9))
    assert np.array_equal(pixels(path, (0, 0, 2, 2)), NOISE[:2, :2])


@pytest.mark.parametrize('box', [(20, 0, 25, 4), (0, 14, 4, 17), (-1, 0, 4, 4), (4, 0, 4, 4), (5, 0, 4, 4)])
def test_cell_beyond_the_sheet_is_not_filled_up(path, box):
    Image.fromarray(NOISE).save(path)
    error = refusal(path, box)
    assert (error.reason, error.detail) == ('damaged', f'24 x 16 pixels, no cell {box}')


# What cannot be used

def forbid(file, *_, **__):
    raise PermissionError(13, 'Permission denied', str(file))


def link_loop(path):
    path.symlink_to(path)


def png(width, height):
    """A PNG that claims a size, in a hundred bytes."""
    chunks = ((b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)), (b'IDAT', zlib.compress(b'\0' * 99)),
              (b'IEND', b''))
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
        for name, data in chunks)


BAD = {
    'missing': (lambda path: None, 'missing', '^$'),
    'below a file': (lambda path: path.parent.rmdir() or path.parent.touch(), 'missing', '^$'),
    'dangling link': (lambda path: path.symlink_to('nowhere'), 'missing', '^$'),
    'loop of links': (link_loop, 'unreadable', 'symbolic links'),
    'folder': (lambda path: path.mkdir(), 'not an image', '^it is a folder$'),
    'pipe': (lambda path: os.mkfifo(path), 'not an image', '^it is no file$'),
    'empty': (lambda path: path.touch(), 'empty', '^$'),
    'text': (lambda path: path.write_text('not a picture'), 'not an image', '^$'),
    'SVG': (lambda path: path.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>'), 'not an image', '^$'),
    'HTML': (lambda path: path.write_text('<!doctype html><title>404</title>'), 'not an image', '^$'),
    'zeros': (lambda path: path.write_bytes(bytes(5000)), 'not an image', '^$'),
    'EPS': (lambda path: path.write_bytes(encoded(NOISE, 'EPS')), 'unsupported', '^its format is EPS$'),
    'no decoder': (lambda path: path.write_bytes(b'GRIB\0\0\0\1' + bytes(90)), 'unsupported', '^its format is GRIB$'),
    'bomb': (lambda path: path.write_bytes(png(30_000, 30_000)), 'too large', '900000000 pixels'),
    'large': (lambda path: path.write_bytes(png(9_500, 9_500)), 'too large', '90250000 pixels'),
    'no pixels': (lambda path: path.write_bytes(png(9_000, 9_000)), 'damaged', 'OSError'),  # within the limit
    'bytes': (lambda path: path.write_bytes(b'\x89PNG\r\n\x1a\n' + bytes(90)), 'not an image', '^$'),
}


@pytest.mark.parametrize('box', [None, (0, 0, 1, 1)])
@pytest.mark.parametrize('case', BAD)
def test_what_cannot_be_used(tmp_path, case, box):
    make, reason, detail = BAD[case]
    path = tmp_path / 'folder' / 'a.png'
    path.parent.mkdir()
    make(path)
    error = refusal(path, box)
    assert error.reason == reason
    assert re.search(detail, error.detail)
    assert str(error).startswith(f"Picture '{path}' is {reason}")


@pytest.mark.parametrize('name', ['a\0.png', 'a' * 300])
def test_names_that_no_file_can_have(tmp_path, name):
    assert refusal(tmp_path / name).reason == 'unreadable'


def test_file_that_must_not_be_read(path, monkeypatch):
    Image.fromarray(NOISE).save(path)
    path.chmod(0)
    if os.geteuid() == 0:  # who can read anything
        monkeypatch.setattr('builtins.open', forbid)
    assert refusal(path).reason == 'unreadable'


def test_limit_of_pixels_is_that_of_pil(path, monkeypatch):
    Image.fromarray(NOISE).save(path)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 24 * 16)
    assert pixels(path).shape == NOISE.shape
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 24 * 16 - 1)
    assert refusal(path).reason == 'too large'
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', None)
    assert pixels(path).shape == NOISE.shape


def test_limit_of_pixels_needs_no_warning(path, monkeypatch):
    # Filters of warnings are the whole process's: another thread may just have put back its own.
    monkeypatch.setattr('warnings.filterwarnings', lambda *_, **__: None)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 24 * 16 - 1)
    Image.fromarray(NOISE).save(path)
    error = refusal(path)
    assert (error.reason, error.detail) == ('too large', '24 x 16 pixels')


@pytest.mark.parametrize('part', [0.7, 0.8, 0.95])
@formats
def test_cut_off_in_its_pixels(path, kind, part):
    # Of a JPEG so small, the header would be more than two thirds at the usual quality, and no pixel be reached.
    content = encoded(NOISE, kind, **({'quality': 95} if kind == 'JPEG' else {}))
    path.write_bytes(content[:int(part * len(content))])
    assert refusal(path).reason == 'damaged'


@formats
def test_cut_off_anywhere(path, kind):
    content = encoded(NOISE, kind)
    for size in range(1, len(content), 13):
        path.write_bytes(content[:size])
        # Where no more than the end mark of the file is missing, the picture is whole.
        assert outcome(path) in ('damaged', 'not an image', *(['RGB'] if size > len(content) - 30 else []))


@formats
def test_changed_bytes_raise_nothing_else(path, kind):
    rng = np.random.default_rng(len(kind))
    content = np.frombuffer(encoded(NOISE[:9, :12], kind), np.uint8)
    outcomes = set()
    for _ in range(100):
        changed = content.copy()
        places = rng.integers(0, rng.choice([64, changed.size]), rng.integers(1, 9))  # headers matter most
        changed[places] = rng.integers(0, 256, places.size)
        path.write_bytes(changed.tobytes())
        outcomes.add(outcome(path))
    assert len(outcomes) > 1
    assert outcomes <= {'RGB', 'damaged', 'not an image', 'too large', 'unsupported'}


# The error itself

def test_message(tmp_path):
    assert str(PictureError(tmp_path, 'empty')) == f"Picture '{tmp_path}' is empty"
    assert str(PictureError(tmp_path, 'damaged', 'cut off')) == f"Picture '{tmp_path}' is damaged: cut off"


def test_error_survives_pickling(path):  # on its way out of another process
    error = pickle.loads(pickle.dumps(PictureError(path, 'damaged', 'cut off')))
    assert (error.path, error.reason, error.detail) == (path, 'damaged', 'cut off')
