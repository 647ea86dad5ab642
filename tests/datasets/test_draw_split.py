from collections import Counter, defaultdict

import pytest

from drin_pyg.datasets import Mention, draw_split

# 100 answers with 1 to 3 mentions each.
MENTIONS = [Mention(f'{i}-{j}', 'a', 'a', answer=f'Q{i}', split='train') for i in range(100) for j in range(i % 3 + 1)]


def splits_of_answers(mentions):
    splits = defaultdict(set)
    for mention in mentions:
        splits[mention.answer].add(mention.split)
    return splits


@pytest.mark.parametrize(('fractions', 'sizes'), [
    ((0.1, 0.1), {'train': 80, 'val': 10, 'test': 10}),
    ((0.25, 0.5), {'train': 25, 'val': 25, 'test': 50}),
    ((0.1, 0), {'train': 90, 'val': 10}),
    ((0, 0.1), {'train': 90, 'test': 10}),
    ((0, 0), {'train': 100}),
    ((1, 0), {'val': 100}),
    ((0.5, 0.5), {'val': 50, 'test': 50}),
    ((0.004, 0.006), {'train': 99, 'test': 1}),
])
def test_fractions_of_answers(fractions, sizes):
    drawn = draw_split(MENTIONS, fractions)
    splits = splits_of_answers(drawn)
    assert all(len(names) == 1 for names in splits.values())  # no answer is in two splits
    assert Counter(name for names in splits.values() for name in names) == sizes
    assert [mention.id for mention in drawn] == [mention.id for mention in MENTIONS]


def test_the_draw_is_of_the_seed():
    draws = [[mention.split for mention in draw_split(MENTIONS, seed=seed)] for seed in (0, 0, 1, 2)]
    assert draws[0] == draws[1] == [mention.split for mention in draw_split(MENTIONS)]
    assert len({tuple(draw) for draw in draws}) == 3


def test_the_draw_is_the_same_in_any_order():
    expected = {mention.id: mention.split for mention in draw_split(MENTIONS)}
    assert {mention.id: mention.split for mention in draw_split(MENTIONS[::-1])} == expected


def test_mentions_without_an_answer_stand_for_themselves():
    mentions = [Mention(f'{i}', 'a', 'a', nil=i % 2 == 0) for i in range(10)]
    assert Counter(mention.split for mention in draw_split(mentions, (0.2, 0.3))) == {'train': 5, 'val': 2, 'test': 3}


@pytest.mark.parametrize('answers', [('Q1', 'Q1\0'), ('', None), (None, '\0')])
def test_answers_that_nearly_are_one(answers):
    mentions = [Mention('0', 'a', 'a', answer=answer) for answer in answers]
    assert len({mention.split for mention in draw_split(mentions, (0.5, 0))}) == 2


def test_nothing_else_changes():
    mention = Mention('1', 'a', 'b a', answer='Q1', candidates=('Q1', ), split='val', span=(2, 3), captions=('c', ))
    assert draw_split([mention], (0, 1)) == [
        Mention('1', 'a', 'b a', answer='Q1', candidates=('Q1', ), split='test', span=(2, 3), captions=('c', ))]
    assert mention.split == 'val'
    assert draw_split([]) == []


@pytest.mark.parametrize('fractions', [(-0.1, 0.1), (0.6, 0.6), (1.5, 0), (float('nan'), 0)])
def test_fractions_that_are_none(fractions):
    with pytest.raises(ValueError, match='Fractions of a split must be 0 or more and 1 at most together, got'):
        draw_split(MENTIONS, fractions)
