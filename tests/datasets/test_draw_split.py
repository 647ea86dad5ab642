from collections import Counter, defaultdict

import pytest

from drin_pyg.datasets import Mention, draw_split

# 100 answers with 1 to 3 mentions each, 199 in all.
MENTIONS = [Mention(f'{i}-{j}', 'a', f'a {i} {j}', answer=f'Q{i}', split='train')
            for i in range(100) for j in range(i % 3 + 1)]


def splits_of(mentions, key):
    splits = defaultdict(set)
    for mention in mentions:
        splits[key(mention)].add(mention.split)
    return splits


@pytest.mark.parametrize(('fractions', 'sizes'), [
    ((0.1, 0.1), {'train': 159, 'val': 20, 'test': 20}),
    ((0.25, 0.5), {'train': 49, 'val': 50, 'test': 100}),
    ((0.1, 0), {'train': 179, 'val': 20}),
    ((0, 0.1), {'train': 179, 'test': 20}),
    ((0, 0), {'train': 199}),
    ((1, 0), {'val': 199}),
    ((0.5, 0.5), {'val': 100, 'test': 99}),
    ((0.004, 0.006), {'train': 197, 'val': 1, 'test': 1}),
])
def test_fractions_of_mentions(fractions, sizes):
    drawn = draw_split(MENTIONS, fractions)
    assert all(len(names) == 1 for names in splits_of(drawn, lambda mention: mention.answer).values())
    assert Counter(mention.split for mention in drawn) == sizes
    assert [mention.id for mention in drawn] == [mention.id for mention in MENTIONS]


def test_sentences_stay_together_through_others():
    # Ten sentences with three mentions each, of which the last one's answer is the next sentence's first one's.
    chained = [Mention(f'{i}-{j}', 'a', f' The  Sentence {i}' if j else f'the sentence {i}', answer=f'Q{2 * i + j}')
               for i in range(10) for j in range(3)]
    apart = [Mention(f'x{i}', 'a', f'sentence x{i}', answer=f'X{i}') for i in range(70)]
    drawn = draw_split([*chained, *apart], (0.2, 0.2))
    assert {mention.split for mention in drawn[:30]} == {'train'}  # 30 are more than there is room for
    assert Counter(mention.split for mention in drawn[30:]) == {'train': 30, 'val': 20, 'test': 20}


def test_mentions_without_a_sentence_are_not_joined():
    mentions = [Mention(str(i), 'a', '', answer=str(i)) for i in range(10)]
    assert Counter(mention.split for mention in draw_split(mentions, (0.2, 0.3))) == {'train': 5, 'val': 2, 'test': 3}


def test_mentions_of_one_id_are_told_apart():
    mentions = [Mention('0', 'a', str(i), answer=str(i)) for i in range(10)]
    assert Counter(mention.split for mention in draw_split(mentions, (0.5, 0))) == {'train': 5, 'val': 5}


def test_the_draw_is_of_the_seed():
    draws = [[mention.split for mention in draw_split(MENTIONS, seed=seed)] for seed in (0, 0, 1, 2)]
    assert draws[0] == draws[1] == [mention.split for mention in draw_split(MENTIONS)]
    assert len({tuple(draw) for draw in draws}) == 3


def test_the_draw_is_the_same_in_any_order():
    expected = {mention.id: mention.split for mention in draw_split(MENTIONS)}
    assert {mention.id: mention.split for mention in draw_split(MENTIONS[::-1])} == expected


def test_mentions_without_an_answer_stand_for_themselves():
    mentions = [Mention(f'{i}', 'a', f'a {i}', nil=i % 2 == 0) for i in range(10)]
    assert Counter(mention.split for mention in draw_split(mentions, (0.2, 0.3))) == {'train': 5, 'val': 2, 'test': 3}


@pytest.mark.parametrize('answers', [('Q1', 'Q1\0'), ('', None), (None, '\0')])
def test_answers_that_nearly_are_one(answers):
    mentions = [Mention(str(i), 'a', f'a {i}', answer=answer) for i, answer in enumerate(answers)]
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
