import sys

import imagehash
import numpy as np
import pytest
from PIL import Image

from drin_pyg.datasets import Picture
from drin_pyg.evaluation.audit_pictures import fingerprint, near_pairs
from tests.evaluation.audited_folder import pattern


def slow_pairs(values, distance):
    """All pairs, one by one."""
    values = sorted(map(int, values))
    return [[a, b] for i, a in enumerate(values) for b in values[i + 1:] if (a ^ b).bit_count() <= distance]


@pytest.mark.parametrize('distance', [0, 1, 4, 7, 16, 63])
def test_near_pairs_are_those_of_a_slow_search(distance):
    rng = np.random.default_rng(distance)
    far = rng.integers(0, 2**64, 40, dtype=np.uint64)
    near = [value ^ sum(1 << int(bit) for bit in rng.choice(64, size, replace=False))
            for size in (1, 3, 4, 5, 7, 8, 16, 17) for value in map(int, far[:5])]
    values = np.unique(np.array([*map(int, far), *near, 0, 2**64 - 1, 2**63], dtype=np.uint64))
    pairs = near_pairs(np.random.default_rng(0).permutation(values), distance)
    assert pairs.tolist() == slow_pairs(values, distance)
    assert distance in (0, 63) or len(pairs) >= 5


def test_near_pairs_of_crowded_hashes():
    # Many that are equal in most blocks, so that the search goes many steps.
    values = np.array([1 << a | 1 << b for a in range(20) for b in range(a)], dtype=np.uint64)
    assert near_pairs(values, 2).tolist() == slow_pairs(values, 2)


@pytest.mark.parametrize('count', [0, 1])
def test_near_pairs_of_next_to_nothing(count):
    assert near_pairs(np.zeros(count, np.uint64), 4).shape == (0, 2)


@pytest.fixture
def pictures(tmp_path):
    """A pattern, the same in other formats and sizes, another, one colour, one that is missing."""
    names = ('a.png', 'a.bmp', 'a.jpg', 'half.png', 'b.png', 'grey.png', 'gone.png')
    pattern(1).save(tmp_path / 'a.png')
    pattern(1).save(tmp_path / 'a.bmp')
    pattern(1).save(tmp_path / 'a.jpg', quality=50)
    pattern(1).resize((32, 32)).save(tmp_path / 'half.png')
    pattern(2).save(tmp_path / 'b.png')
    Image.new('RGB', (64, 64), 'grey').save(tmp_path / 'grey.png')
    return {name: Picture(tmp_path / name) for name in names}


def test_fingerprint(pictures):
    prints = fingerprint(pictures.values(), 8)
    pixels = {name: prints.pixels.get(picture) for name, picture in pictures.items()}
    assert pixels['a.png'] == pixels['a.bmp']
    assert len({pixels[name] for name in ('a.png', 'a.jpg', 'half.png', 'b.png', 'grey.png')}) == 5
    assert pixels['gone.png'] is None
    assert prints.num_unusable == 1
    assert {name for name, picture in pictures.items() if picture not in prints.looks} == {'grey.png', 'gone.png'}
    for picture, look in prints.looks.items():
        assert look == int(str(imagehash.phash(picture.open())), 16)
    alike = prints.alike([prints.looks[pictures['a.png']]])
    assert {prints.looks[pictures[name]] for name in ('a.png', 'a.jpg', 'half.png')} <= alike
    assert prints.looks[pictures['b.png']] not in alike
    assert prints.alike([]) == set()


def test_pixels_alone_need_no_library(pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, 'imagehash', None)
    prints = fingerprint(pictures.values(), None)
    assert (len(prints.pixels), prints.looks, prints.near, prints.distance) == (6, {}, {}, None)
    assert fingerprint([], 4).pixels == {}
    with pytest.raises(ImportError, match=r'install ImageHash .*--no-near'):
        fingerprint(pictures.values(), 4)


def test_size_counts_as_well_as_bytes(tmp_path):
    Image.new('RGB', (8, 2)).save(tmp_path / 'wide.png')
    Image.new('RGB', (2, 8)).save(tmp_path / 'high.png')
    prints = fingerprint([Picture(tmp_path / 'wide.png'), Picture(tmp_path / 'high.png')])
    assert len(set(prints.pixels.values())) == 2


def test_cells_of_a_sheet(tmp_path):
    sheet = Image.new('RGB', (192, 64))
    for i, seed in enumerate((1, 2, 1)):
        sheet.paste(pattern(seed), (64 * i, 0))
    sheet.save(tmp_path / 'sheet.png')
    cells = [Picture(tmp_path / 'sheet.png', (64 * i, 0, 64 * i + 64, 64)) for i in range(3)]
    prints = fingerprint(cells)
    assert prints.pixels[cells[0]] == prints.pixels[cells[2]] != prints.pixels[cells[1]]


def test_several_processes(tmp_path):
    # Of fewer than 257 pictures, other processes would not be worth it.
    for i in range(258):
        pattern(i % 50).resize((16, 16)).save(tmp_path / f'{i}.png')
    pictures = [Picture(tmp_path / f'{i}.png') for i in range(260)]
    assert fingerprint(pictures, workers=2) == fingerprint(pictures)


@pytest.mark.parametrize('distance', [-1, 64])
def test_nonsense(distance):
    with pytest.raises(ValueError, match='from 0 to 63'):
        fingerprint([], distance)
