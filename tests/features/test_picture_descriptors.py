import math

import pytest
import torch
from PIL import Image, ImageDraw

from drin_pyg.datasets import Picture
from drin_pyg.features import DescriptorEncoder, describe_pictures, encode_rows
from drin_pyg.features.picture_descriptors import BLOCKS, oriented_gradients


def drawing(size=64, place=(8, 8), scale=1, colour='brown', shape='cross', mode='RGB'):
    image = Image.new('RGB', (size, size), 'white')
    draw = ImageDraw.Draw(image)
    x, y = place

    def box(left, upper, right, lower):
        draw.rectangle((x + scale * left, y + scale * upper, x + scale * right - 1, y + scale * lower - 1), colour)

    if shape == 'cross':
        box(16, 0, 32, 48)
        box(0, 16, 48, 32)
    else:
        box(0, 0, 48, 12)
        box(0, 36, 48, 48)
        box(0, 0, 6, 48)
    return image.convert(mode)


def blocks_of(*pictures):
    return describe_pictures(pictures).split(BLOCKS, dim=-1)


def test_shape_and_blocks_of_length_one():
    blocks = blocks_of(drawing(), drawing(shape='frame'))
    assert [block.shape for block in blocks] == [(2, width) for width in BLOCKS]
    assert sum(BLOCKS) == 2613
    for block in blocks:
        torch.testing.assert_close(block.norm(dim=-1), torch.ones(2))


@pytest.mark.parametrize('other', [{'place': (0, 0)}, {'place': (15, 3)}, {'size': 200, 'place': (30, 90)}],
                         ids=['corner', 'aside', 'wide margin'])
def test_margin_does_not_matter(other):
    one, two = describe_pictures([drawing(), drawing(**other)])
    torch.testing.assert_close(one, two, rtol=0, atol=1e-5)


def test_scale_hardly_matters():
    # Whereas the shape does.
    one, large, frame = describe_pictures([drawing(), drawing(size=200, scale=3), drawing(shape='frame')])
    assert one @ large > 0.9 * len(BLOCKS)
    assert one @ frame < 0.8 * len(BLOCKS)


def test_colour_changes_the_colour_blocks_most():
    brown, blue = blocks_of(drawing()), blocks_of(drawing(colour='steelblue'))
    similarity = [float((a * b).sum()) for a, b in zip(brown, blue, strict=True)]
    assert similarity[1] > 0.95
    assert similarity[3] < 0.5


@pytest.mark.parametrize('colour', ['white', 'black', 'gray'])
def test_blank_picture_is_finite(colour):
    assert describe_pictures([Image.new('RGB', (64, 64), colour)]).isfinite().all()


@pytest.mark.parametrize('size', [(1, 1), (3, 200), (640, 48)])
def test_any_size(size):
    assert describe_pictures([Image.new('RGB', size, 'green')]).isfinite().all()


def test_any_mode():
    one, other = describe_pictures([drawing(colour='black'), drawing(colour='black', mode='L')])
    assert one.equal(other)


def test_no_pictures():
    assert describe_pictures([]).shape == (0, 2613)


def test_encoder_gives_the_same(tmp_path):
    paths = [tmp_path / f'{i}.png' for i in range(3)]
    for path, shape in zip(paths, ('frame', 'cross', 'frame'), strict=True):
        drawing(shape=shape).save(path)
    found = encode_rows(DescriptorEncoder(), [Picture(path) for path in paths])
    assert found.index.tolist() == [0, 1, 0]
    assert found.columns['descriptors'].equal(describe_pictures([drawing(shape='frame'), drawing(shape='cross')]))


def test_one_of_many_equals_one_alone():
    alone = describe_pictures([drawing(shape='frame')])
    torch.testing.assert_close(describe_pictures([drawing(), drawing(shape='frame')])[1:], alone)


# ---- oriented gradients

def ramp(angle, size=16):
    """A picture that brightens by 0.01 a pixel in one direction, the same in each channel."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing='ij')
    grey = 0.5 + 0.01 * (math.cos(angle) * x + math.sin(angle) * y)
    return grey.expand(1, 3, size, size)


def histograms(x, bins=8, signed=True):
    return oriented_gradients(x, 4, bins, signed).view(bins, 4, 4)


@pytest.mark.parametrize('step', range(8))
def test_a_ramp_has_one_orientation(step):
    # Of 8 signed orientations, a ramp at step * 45 degrees has the one with that number, away from the border.
    inner = histograms(ramp(step * math.pi / 4))[:, 1:-1, 1:-1]
    assert (inner.argmax(0) == step).all()
    assert inner.square().sum(0).sub(inner[step].square()).abs().max() < 0.01


def test_unsigned_orientations_do_not_tell_up_from_down():
    up, down = histograms(ramp(0.3), signed=False), histograms(ramp(0.3 + math.pi), signed=False)
    torch.testing.assert_close(up[:, 1:-1, 1:-1], down[:, 1:-1, 1:-1], rtol=0, atol=1e-3)
    up, down = histograms(ramp(0.3)), histograms(ramp(0.3 + math.pi))
    assert (up - down).abs().max() > 0.3


def test_between_two_orientations_both_share():
    inner = histograms(ramp(math.pi / 8))[:, 1:-1, 1:-1]
    torch.testing.assert_close(inner[0], inner[1], rtol=0, atol=1e-3)
    assert inner[2:].max() < 0.1 * inner[0].min()


def test_strength_of_a_ramp():
    # Central differences of 0.02; the mean over a cell is that, divided by the neighbourhood's energy (alike
    # everywhere inside) plus 0.02, and its root is taken.
    inner = histograms(ramp(0.0))[0, 1:-1, 1:-1]
    expected = math.sqrt(0.02 / (0.02 + 0.02))
    assert (inner - expected).abs().max() < 0.1


def test_a_flat_picture_has_none():
    assert histograms(torch.full((1, 3, 16, 16), 0.7)).eq(0).all()


def test_the_steepest_channel_counts():
    coloured = torch.full((1, 3, 16, 16), 0.5)
    coloured[:, 1] = ramp(0.0)[:, 1]
    torch.testing.assert_close(histograms(coloured), histograms(ramp(0.0)))
