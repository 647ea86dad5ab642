from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from drin_pyg.datasets import MELFolder, Mention, Picture, write_mel_folder
from drin_pyg.evaluation.audit import audit
from drin_pyg.evaluation.audit_keys import KINDS, keys_of
from drin_pyg.evaluation.audit_pictures import Fingerprints, fingerprint
from drin_pyg.evaluation.leak_free_split import (
    format_split,
    leak_free_split,
    leak_groups,
    split_figures,
    split_groups,
)
from tests.evaluation.audited_folder import write_audited


def slow_groups(mentions, bind, prints):
    """Groups by merging the groups of any two mentions that share something, until nothing changes."""
    def share(a, b, kind):
        a, b = set(keys_of(a, kind, prints)), set(keys_of(b, kind, prints))
        if kind == 'near_image':
            return any((x ^ y).bit_count() <= prints.distance for x in a for y in b)
        return bool(a & b)

    group = list(range(len(mentions)))
    for i, j in combinations(range(len(mentions)), 2):
        if group[i] != group[j] and any(share(mentions[i], mentions[j], kind) for kind in bind):
            group = [group[i] if g == group[j] else g for g in group]
    return group


def same_partition(a, b):
    return len(set(zip(a, b, strict=True))) == len(set(a)) == len(set(b))


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp('audited')
    write_audited(folder)
    return MELFolder(folder)


@pytest.fixture(scope='module')
def prints(dataset):
    return fingerprint([picture for mention in dataset.mentions for picture in mention.pictures])


@pytest.mark.parametrize('bind', [*((kind, ) for kind in KINDS), ('sentence', 'image', 'answer'), ('words', 'answer'),
                                  ('near_image', 'surface_and_answer'), ()])
def test_groups_are_those_of_a_slow_search(dataset, prints, bind):
    groups = leak_groups(dataset.mentions, bind, prints)
    assert same_partition(groups.tolist(), slow_groups(dataset.mentions, bind, prints))
    assert set(groups.tolist()) == set(range(len(set(groups.tolist()))))


def test_groups_of_the_folder(dataset, prints):
    def groups(*bind):
        found = leak_groups(dataset.mentions, bind, prints)
        of = {}
        for mention, group in zip(dataset.mentions, found.tolist(), strict=True):
            of.setdefault(group, []).append(mention.id)
        return sorted(' '.join(ids) for ids in of.values() if len(ids) > 1)

    assert groups('sentence') == ['s2 s3', 't1 s5', 't2 v1']
    assert groups('image') == ['t2 v1 s5']
    assert groups('near_image') == ['t1 s1', 't2 v1 s5']
    assert groups('sentence', 'image') == ['s2 s3', 't1 t2 v1 s5']  # through s5
    assert groups('sentence', 'image', 'answer') == ['t1 t2 v1 s1 s2 s3 s5', 't3 v2']


def test_near_pictures_hang_together_through_others():
    # 0 and 0b111111 differ in 6 bits, both in 3 from what stands between.
    pictures = [Picture(str(i)) for i in range(3)]
    looks = dict(zip(pictures, (0, 0b111, 0b111111), strict=True))
    near = {0: {0b111}, 0b111: {0, 0b111111}, 0b111111: {0b111}}
    prints = Fingerprints(looks=looks, near=near, distance=3)
    mentions = [Mention(str(i), '', '', (picture, )) for i, picture in enumerate(pictures)]
    assert leak_groups(mentions, ['near_image'], prints).tolist() == [0, 0, 0]
    assert len(set(leak_groups([mentions[0], mentions[2]], ['near_image'], prints).tolist())) == 2


def many(count, per_group=1, seed=0, sentences=None):
    rng = np.random.default_rng(seed)
    return [Mention(str(i), f'name {i}', f'sentence {rng.integers(sentences or count)}', answer=f'Q{i // per_group}')
            for i in range(count)]


@pytest.mark.parametrize('fractions', [(0.1, 0.1), (0.2, 0.3), (0, 0.25), (0.4, 0), (0, 0)])
def test_shares(fractions):
    mentions = many(600, 3)
    split = leak_free_split(mentions, fractions, bind=('answer', ))
    counts = Counter(mention.split for mention in split)
    for name, fraction in zip(('val', 'test'), fractions, strict=True):
        assert counts[name] == pytest.approx(600 * fraction, abs=4)
    assert [mention.id for mention in split] == [mention.id for mention in mentions]


def test_seed():
    mentions = many(100)
    one, again, other = (leak_free_split(mentions, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other


@pytest.mark.parametrize('seed', range(5))
def test_nothing_bound_is_divided(seed):
    mentions = many(300, 2, seed, sentences=3000)
    assert len({mention.sentence for mention in mentions}) < 300
    split = leak_free_split(mentions, bind=('sentence', 'answer'), seed=seed)
    for of in (lambda mention: mention.answer, lambda mention: mention.sentence):
        names = {}
        for mention in split:
            names.setdefault(of(mention), set()).add(mention.split)
        assert {len(parts) for parts in names.values()} == {1}
    assert {mention.split for mention in split} == {'train', 'val', 'test'}


@pytest.mark.parametrize(('bind', 'zero'), [
    (('sentence', 'image', 'answer'), ('sentence', 'image', 'sentence_and_image', 'answer', 'surface_and_answer')),
    (('near_image', 'sentence'), ('near_image', 'sentence', 'sentence_and_image')),
    (('words', ), ('words', 'sentence')),
    (('surface_and_answer', 'sentence_and_image'), ('surface_and_answer', 'sentence_and_image'))])
def test_the_audit_of_the_split_finds_no_overlaps(dataset, tmp_path, bind, zero):
    mentions = leak_free_split(dataset.mentions, (0.2, 0.2), bind=bind)
    write_mel_folder(dataset.entities, mentions, tmp_path / 'own', copy_images=True)
    found = audit(MELFolder(tmp_path / 'own'))
    assert len(found.overlaps) == 3
    for kinds in found.overlaps.values():
        assert [kinds[kind].count for kind in zero] == [0] * len(zero)


def test_pictures_are_opened_only_where_they_bind(dataset, monkeypatch):
    monkeypatch.setattr(Picture, 'open', None)
    assert {m.split for m in leak_free_split(dataset.mentions, bind=('sentence', ))} == {'train', 'val', 'test'}
    with pytest.raises(TypeError):
        leak_free_split(dataset.mentions)


def test_a_large_group_stays_in_train_and_is_reported():
    mentions = many(1000)
    groups = np.r_[np.zeros(300, np.int64), 1 + np.arange(700)]
    for seed in range(10):
        split = split_groups(mentions, groups, seed=seed)
        figures = split_figures(split, groups)
        assert figures == {'mentions': {'train': 800, 'val': 100, 'test': 100}, 'groups': 701, 'largest': 0.3,
                           'largest_in': 'train'}
    text = format_split(figures, (0.1, 0.1))
    assert 'train 800 (80.0%)' in text
    assert 'The largest group holds 30.0% and is in train. That is more than a share that was asked for' in text
    assert 'That is more' not in format_split(figures, (0.1, 0.4))


def test_groups_that_are_all_too_large():
    groups = np.repeat(np.arange(3), 10)
    split = split_groups(many(30), groups)
    assert Counter(mention.split for mention in split) == {'train': 10, 'val': 10, 'test': 10}


@pytest.mark.parametrize('seed', range(3))
def test_small_groups_that_are_just_enough_are_all_drawn(seed):
    groups = np.r_[np.zeros(80, np.int64), 1 + np.arange(20)]
    split = split_groups(many(100), groups, (0, 0.2), seed)
    assert [mention.split for mention in split] == ['train'] * 80 + ['test'] * 20


def test_one_large_group_and_too_few_others():
    groups = np.r_[np.zeros(95, np.int64), 1 + np.arange(5)]
    split = split_groups(many(100), groups)
    figures = split_figures(split, groups)
    assert set(figures['mentions']) == {'train', 'val', 'test'}
    assert figures['largest_in'] == 'train'


def test_few_mentions():
    split = split_groups(many(3), np.arange(3))
    assert sorted(mention.split for mention in split) == ['test', 'train', 'val']


@pytest.mark.parametrize('fractions', [(-0.1, 0.1), (0.5, 0.5), (0.1, 1), (0, float('nan'))])
def test_fractions_that_do_not_fit(fractions):
    with pytest.raises(ValueError, match="leave some mentions for 'train'"):
        leak_free_split(many(10), fractions)


def test_nonsense():
    with pytest.raises(ValueError, match='10 mentions hang together in 1 groups, too few for 3 splits; bind fewer'):
        split_groups(many(10), np.zeros(10, np.int64))
    with pytest.raises(ValueError, match='0 mentions hang together'):
        leak_free_split([])
    with pytest.raises(ValueError, match="Unknown kind 'colour'; known are sentence"):
        leak_free_split(many(10), bind=('answer', 'colour'))
    with pytest.raises(ValueError, match="Unknown kind 'colour'"):
        leak_groups(many(10), ['colour'], Fingerprints())
    with pytest.raises(ValueError, match="with a 'distance'"):
        leak_groups(many(10), ['near_image'], Fingerprints())
