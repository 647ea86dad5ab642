import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from drin_pyg.experiments import ablate
from drin_pyg.experiments import run_variant as module
from drin_pyg.experiments.run_variant import run_variant
from drin_pyg.experiments.variant import Variant
from drin_pyg.features import MELData, encode_folder, load_tables
from drin_pyg.files import write_record
from drin_pyg.training import EMOJI, Recipe
from drin_pyg.training.lit_drin import LitDRIN
from tests.benchmarks import scripts  # noqa: F401

from kill_runs import make_source  # isort: skip

SMALL = Recipe().changed({'model': {'hidden_channels': 16}, 'max_epochs': 1})


@pytest.fixture
def few(emoji_data, monkeypatch):
    """The packaged data with few mentions, in place of what a worker would read."""
    split = {name: mention[:60] for name, mention in emoji_data.split.items()}
    module._sequences.cache_clear()
    monkeypatch.setattr(module, '_data', lambda source: replace(emoji_data, split=split))
    yield split
    module._sequences.cache_clear()


def run(variant, folder, seed=0):
    run_variant(variant, seed, EMOJI, folder)
    return load_file(folder / 'ranks.safetensors'), json.loads((folder / 'result.json').read_text())


@pytest.mark.parametrize('changes', [
    {}, {'scorer': 'late_fusion_logistic'}, {'scorer': 'late_fusion_sum'}, {'extra': ('surface', 'name')},
    {'scorer': 'pair_network'}, {'scorer': 'ghmfc'}, {'scorer': 'melhi'}, {'scorer': 'image_only'},
    {'extra': ('joined', ), 'recipe': {'context': 'mention'}}, {'model': {'doubt_images': True}}], ids=str)
def test_a_run_ranks_every_answer(few, tmp_path, changes):
    warm = changes.get('scorer') not in ('ghmfc', 'melhi')  # which have no such start
    variant = Variant('x', SMALL.changed({'warm_start': warm})).changed('x', **changes)
    ranks, facts = run(variant, tmp_path)
    assert {name: rank.shape for name, rank in ranks.items()} == {'val': (60, ), 'test': (60, )}
    assert all((rank >= 1).all() and (rank <= 32).all() for rank in ranks.values())
    assert facts['seed'] == 0
    assert facts['variant']['scorer'] == variant.scorer
    assert ('parameters' in facts) == (not variant.scorer.startswith('late_fusion'))


def test_conditions(few, tmp_path):
    variant = Variant('x', SMALL, swapped=0.5, test_swapped=(0.0, 0.4, 1.0), gold_appended=True)
    ranks, _ = run(variant, tmp_path)
    assert set(ranks) == {'val', 'test', 'test, 40% swapped', 'test, 100% swapped', 'test, answer appended'}
    # In pair context an appended answer changes nothing; images of others do.
    assert np.array_equal(ranks['test'], ranks['test, answer appended'])
    assert ranks['test, 100% swapped'].mean() > ranks['test'].mean()


def test_the_seed_decides(few, tmp_path):
    cold = SMALL.changed({'warm_start': False})  # a warm start leaves little to chance
    first, again, other = (run(Variant('x', cold), tmp_path / str(i), seed)[0]['test']
                           for i, seed in enumerate((0, 0, 1)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_features_alone_cannot_be_read_by_tokens_or_extended(few, tmp_path, monkeypatch, emoji_data):
    bare = MELData(emoji_data.tables, emoji_data.candidates, few)
    monkeypatch.setattr(module, '_data', lambda source: bare)
    cold = SMALL.changed({'warm_start': False})
    with pytest.raises(ValueError, match='tokens and regions'):
        run(Variant('x', cold, scorer='ghmfc'), tmp_path)
    with pytest.raises(ValueError, match='came as features alone'):
        run(Variant('x', SMALL, extra=('name', )), tmp_path)
    with pytest.raises(ValueError, match="extended by 'colour'"):
        run(Variant('x', SMALL, extra=('colour', )), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('recipe', [Recipe.paper(), SMALL.changed({'model': {'vector_edges': True}})],
                         ids=['published', 'vector'])
def test_extended_graphs_have_plain_models(few, tmp_path, recipe):
    with pytest.raises(ValueError, match='whose model says nothing but dynamic, hidden_channels, num_layers'):
        run(Variant('x', recipe, extra=('joined', )), tmp_path)


def test_killed_after_it_was_trained_it_is_not_trained_again(few, tmp_path, monkeypatch):
    whole, _ = run(Variant('x', SMALL), tmp_path / 'whole')
    with monkeypatch.context() as patch:
        patch.setattr(module, 'write_record', lambda *_: pytest.fail('killed'))
        with pytest.raises(pytest.fail.Exception, match='killed'):
            run(Variant('x', SMALL), tmp_path / 'run')
    monkeypatch.setattr(LitDRIN, 'training_step', lambda *_: pytest.fail('trained again'))
    ranks, _ = run(Variant('x', SMALL), tmp_path / 'run')
    assert all(np.array_equal(ranks[name], whole[name]) for name in whole)
    assert {path.name for path in (tmp_path / 'run').iterdir()} == {'ranks.safetensors', 'result.json'}


def test_goes_on_where_it_stopped(tmp_path):
    make_source(tmp_path / 'source', 40)
    encode_folder(tmp_path / 'source', tables := tmp_path / 'tables', 'text')
    # A tuple, which comes back as a list from the settings of the folder.
    recipe, out = SMALL.changed({'model': {'hidden_channels': 16, 'cosine_scales': (5.0, 5.0)}}), tmp_path / 'out'
    options = {'seeds': 1, 'workers': 1, 'quick': True, 'progress': False}
    table, = ablate(tables, out, ['context'], recipe, **options)
    assert [line.variant.name for line in table.lines] == ['DRIN', 'pair context', 'mention context']
    assert table.lines[0].hit.shape == (1, load_tables(tables).split['test'].numel())
    runs = sorted((out / 'runs').glob('*/*/result.json'))
    assert len(runs) == 2  # pair context is the base itself
    times = [path.stat().st_mtime_ns for path in runs]
    runs[0].unlink()
    again, = ablate(tables, out, ['context'], recipe, **options)
    assert again.markdown() == table.markdown()
    assert [path.stat().st_mtime_ns == time for path, time in zip(runs, times, strict=True)] == [False, True]
    assert {path.name for path in out.iterdir()} \
        == {'settings.json', 'runs', 'context.csv', 'context.md', 'context.png', 'context.svg'}
    only, = ablate(tables, out, ['context'], recipe, variants=['mention context'], **options)
    assert [line.variant.name for line in only.lines] == ['DRIN', 'mention context']
    with pytest.raises(ValueError, match='holds results with different recipe'):
        ablate(tables, out, ['context'], recipe.changed({'lr': 0.1}), **options)


def test_a_run_that_fails_stops_those_that_have_not_begun(tmp_path, monkeypatch):
    begun, stopped = [], threading.Event()

    class Pool(ThreadPoolExecutor):
        """Threads in place of processes, which tell when what waits has been taken back."""

        def __init__(self, workers, **_):
            super().__init__(workers)

        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            stopped.set()
            super().shutdown(wait)

    def run_one(variant, seed, source, folder):
        begun.append(folder)
        if len(begun) == 1:
            write_record(folder / 'result.json', {})
        elif len(begun) == 2:
            raise ValueError('the second one failed')
        else:  # one may have begun before the failure was seen
            assert stopped.wait(60)

    monkeypatch.setattr(sys.modules[ablate.__module__], 'ProcessPoolExecutor', Pool)
    monkeypatch.setattr(sys.modules[ablate.__module__], 'run_variant', run_one)
    with pytest.raises(ValueError, match='the second one failed'):
        ablate(EMOJI, tmp_path / 'out', ['edges'], SMALL, seeds=3, workers=1, progress=False)
    assert len(begun) in (2, 3)  # of nine
    assert [path.parent for path in (tmp_path / 'out').rglob('result.json')] == begun[:1]
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'settings.json', 'runs'}  # no table


def test_nonsense_is_named(tmp_path):
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'thing').touch()
    for arguments, message in (((EMOJI, tmp_path / 'a', ['x'], SMALL), "no study 'x'"),
                               ((tmp_path, tmp_path / 'a', ['images'], SMALL), "needs the pictures of three vendors"),
                               ((EMOJI, tmp_path / 'full', ['edges'], SMALL), 'something else than results')):
        with pytest.raises(ValueError, match=message):
            ablate(*arguments)
    with pytest.raises(ValueError, match="no variant 'x'"):
        ablate(EMOJI, tmp_path / 'a', ['edges'], SMALL, variants=['static edges', 'x'])
    with pytest.raises(FileNotFoundError):
        ablate(tmp_path / 'none', tmp_path / 'a', ['edges'], SMALL)
    with pytest.raises(ValueError, match='At least one seed'):
        ablate(EMOJI, tmp_path / 'a', ['edges'], SMALL, seeds=0)
    assert not (tmp_path / 'a').exists()
