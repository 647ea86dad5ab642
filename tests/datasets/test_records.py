import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from drin_pyg.datasets import Entity, Mention, Picture


def pixels(picture):
    image = picture.open()
    assert image.mode == 'RGB'
    return np.asarray(image)


def test_transparent_pixels_become_white(tmp_path):
    # A transparent pixel has a colour too, which nobody is meant to see.
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]], dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / 'a.png')
    assert pixels(Picture(tmp_path / 'a.png')).tolist() == [[[255, 0, 0], [255, 255, 255], [204, 204, 204]]]


def test_palette_with_transparency(tmp_path):
    image = Image.new('P', (2, 1))
    image.putpalette([0, 0, 255, 0, 255, 0])
    image.putdata([0, 1])
    image.save(tmp_path / 'a.png', transparency=1)
    assert pixels(Picture(tmp_path / 'a.png')).tolist() == [[[0, 0, 255], [255, 255, 255]]]


@pytest.mark.parametrize('mode', ['L', 'LA', 'P', 'RGB', 'RGBA', '1'])
def test_every_mode_becomes_rgb(tmp_path, mode):
    Image.new('RGB', (3, 2), 'white').convert(mode).save(tmp_path / 'a.png')
    assert (pixels(Picture(tmp_path / 'a.png')) == np.full((2, 3, 3), 255)).all()


def test_cell_of_a_sheet(tmp_path):
    sheet = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    Image.fromarray(sheet).save(tmp_path / 'sheet.png')
    assert (pixels(Picture(tmp_path / 'sheet.png', (2, 1, 5, 3))) == sheet[1:3, 2:5]).all()


def test_cells_of_one_sheet_do_not_disturb_each_other(tmp_path):
    sheet = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    Image.fromarray(sheet).save(tmp_path / 'sheet.png')
    first = Picture(tmp_path / 'sheet.png', (0, 0, 2, 2)).open()
    first.putpixel((0, 0), (9, 9, 9))
    assert (pixels(Picture(tmp_path / 'sheet.png', (0, 0, 2, 2))) == sheet[:2, :2]).all()


@pytest.mark.parametrize('box', [None, (0, 0, 1, 1)])
def test_missing_file(tmp_path, box):
    with pytest.raises(FileNotFoundError, match=r'gone\.png'):
        Picture(tmp_path / 'gone.png', box).open()


@pytest.mark.parametrize('box', [None, (0, 0, 1, 1)])
def test_file_that_is_no_image(tmp_path, box):
    (tmp_path / 'a.png').write_bytes(b'not a picture')
    with pytest.raises(UnidentifiedImageError):
        Picture(tmp_path / 'a.png', box).open()


def test_only_names_are_needed():
    assert Entity('Q1', 'Paris') == Entity('Q1', 'Paris', '', ())
    mention = Mention('1', 'Paris', 'In Paris.')
    assert (mention.pictures, mention.answer, mention.candidates, mention.split) == ((), None, (), '')
