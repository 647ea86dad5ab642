import errno
import gc
import mmap
import re
import shutil
from pathlib import Path

import pytest
import torch

from drin_pyg.linking import CandidateScorer, EntityIndex, mapped_pages
from drin_pyg.linking.mapped_pages import MappedPages
from drin_pyg.linking.tensor_file import map_tensors, write_tensors
from tests.benchmarks import scripts  # noqa: F401

from synthetic import make_candidates, make_model, make_sides  # isort: skip

ROWS, WIDTH = 2**16, 64  # 16 MiB


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp('mapped') / 'x.safetensors'

    def fill(tensors):
        tensors['x'].copy_(torch.arange(ROWS).unsqueeze(1).expand(-1, WIDTH))

    write_tensors(path, {'x': (torch.float32, (ROWS, WIDTH))}, fill)
    return path


def resident(path):
    """Bytes of a file that are mapped into this process and resident."""
    text = Path('/proc/self/smaps').read_text()
    parts = re.split(r'^(?=[0-9a-f]+-[0-9a-f]+ )', text, flags=re.MULTILINE)
    return sum(1024 * int(re.search(r'^Rss:\s+(\d+) kB', part, re.MULTILINE)[1])
               for part in parts if str(path) in part)


def test_pages_are_given_back_and_values_stay(file):
    x = map_tensors(file)['x']
    pages = MappedPages([x], 2**40)
    assert float(x[:, 0].double().sum()) == ROWS * (ROWS - 1) / 2
    assert resident(file) > 15 * 2**20
    pages.keep()  # the limit is far
    assert resident(file) > 15 * 2**20
    pages.give_back()
    assert resident(file) < 2**17  # the pages at the edges, which may be another's too
    assert float(x[:, 0].double().sum()) == ROWS * (ROWS - 1) / 2


def test_the_limit_holds_whatever_else_comes_and_goes(file, tmp_path):
    another = shutil.copy(file, tmp_path / 'another')
    x = map_tensors(file)['x']
    pages = MappedPages([x], 2**21)
    other, most = map_tensors(another)['x'], 0
    assert other.sum() > 0  # all of it is resident
    for number, start in enumerate(range(0, ROWS, 1024)):
        if number == 20:
            del other  # pages that go must not hide those that come
            gc.collect()
        assert x[start:start + 1024, 0].equal(torch.arange(start, start + 1024.0))
        pages.keep()
        if number % 4 == 3:
            most = max(most, resident(file))
    assert 0 < most < 4 * 2**20  # and what a reading or two add


def test_memory_of_ones_own_is_left_alone(file):
    own = torch.ones(2**20)
    pages = MappedPages([own, map_tensors(file)['x']], 1)
    assert all(stop <= own.data_ptr() or start >= own.data_ptr() + 4 * own.numel() for start, stop in pages.ranges)
    pages.give_back()
    assert bool((own == 1).all())


@pytest.mark.parametrize('context', ['pair', 'mention'])
def test_an_index_with_a_limit_scores_as_without(tmp_path, context):
    torch.manual_seed(0)
    model = make_model(64, 2, 0.02).eval()
    mentions, entities = make_sides(4, 4000, 0.02)
    lists = make_candidates(4, 500, 4000)
    memory = EntityIndex.build(model, entities)
    EntityIndex.build(model, entities, folder=tmp_path / 'index')
    index = EntityIndex.load(tmp_path / 'index', model, resident=2**20)
    given, give_back = [], index._pages.give_back
    index._pages.give_back = lambda: given.append(give_back())
    there, here = (CandidateScorer(model, x, context=context, chunk_size=256) for x in (index, memory))
    assert there(mentions, lists).equal(here(mentions, lists))
    assert len(given) > 2
    for x, y in zip(there(mentions, k=7), here(mentions, k=7), strict=True):
        assert x.equal(y)
    # Entities that came later are in memory, and stay there.
    _, new = make_sides(1, 50, 0.02)
    for changed in (index, memory):
        changed.add(model, new)
    there, here = (CandidateScorer(model, x, context=context, chunk_size=256) for x in (index, memory))
    lists = make_candidates(4, 500, 4050)
    torch.testing.assert_close(there(mentions, lists), here(mentions, lists), rtol=0, atol=1e-5)


def test_what_the_system_says_is_passed_on(file):
    pages = MappedPages([map_tensors(file)['x']], 1)
    pages.ranges = [(0, mmap.PAGESIZE)]  # where no process has anything
    with pytest.raises(OSError, match='could not be given back') as refused:
        pages.give_back()
    assert refused.value.errno == errno.ENOMEM


def test_limits_that_are_none(file, monkeypatch):
    x = map_tensors(file)['x']
    with pytest.raises(ValueError, match='The limit of resident bytes must be at least 1, got 0'):
        MappedPages([x], 0)
    monkeypatch.setattr(mapped_pages, 'STATM', Path('/nowhere'))
    with pytest.raises(OSError, match='on Linux only; load it without a limit'):
        MappedPages([x], 1)
