import pytest

from drin_pyg.datasets import Entity, Mention, find_span
from drin_pyg.datasets.records import plain


@pytest.mark.parametrize(('sentence', 'surface', 'offsets', 'expected'), [
    # Without offsets.
    ('Paris in Paris', 'Paris', (), (0, 5)),
    ('In paris, PARIS', 'Paris', (), (3, 8)),
    ('paris or Paris', 'Paris', (), (9, 14)),  # as it is written counts first
    ('In Rome', 'Paris', (), None),
    ('In Paris', '', (), None),
    ('', 'Paris', (), None),
    ('', '', (0, 0), None),
    ('Parisian', 'Paris', (), (0, 5)),  # words are not told apart
    # Offsets that are right.
    ('Paris in Paris', 'Paris', (9, 14), (9, 14)),
    ('Paris', 'Paris', (0, 5), (0, 5)),
    ('aaa', 'aa', (1, 3), (1, 3)),
    # Offsets that are wrong: the nearest.
    ('Paris in Paris', 'Paris', (8, 13), (9, 14)),
    ('Paris in Paris', 'Paris', (2, 7), (0, 5)),
    ('Paris in Paris', 'Paris', (99, 104), (9, 14)),
    ('Paris in paris', 'Paris', (9, 14), (0, 5)),
    ('In Rome', 'Paris', (0, 2), None),
    ('In Paris', '', (3, 3), None),
    # Offsets that a slice forgives.
    ('In Paris', 'Paris', (3, 99), (3, 8)),
    ('In Paris.', 'Paris', (3, -1), (3, 8)),
    ('In Paris', 'Paris', (-5, 8), (3, 8)),
    ('In Paris', 'Paris', (8, 3), (3, 8)),
    ('In Paris', 'Paris', (10 ** 40, 10 ** 41), (3, 8)),
    # Only one of them.
    ('Paris in Paris', 'Paris', (9, None), (9, 14)),
    ('Paris in Paris', 'Paris', (None, 14), (0, 5)),
    # No pattern, but words.
    ('a+b (c) [d] $1.00 \\n', '(c)', (), (4, 7)),
    ('aab a+b', 'a+b', (), (4, 7)),
    ('a+b $1.00', '$1.00', (), (4, 9)),
    ('path \\d', '\\d', (), (5, 7)),
    ('x', '.', (), None),
    # Characters, not bytes.
    ('Zürich und ZÜRICH', 'zürich', (), (0, 6)),
    ('\U0001F600 \u6771\u4eac', '\u6771\u4eac', (2, 4), (2, 4)),
    ('e\u0301te', '\u00e9te', (), None),  # composed is not decomposed
    ('line\nline two', 'line two', (), (5, 13)),
    ('\ud800 half', 'half', (), (2, 6)),
])
def test_find_span(sentence, surface, offsets, expected):
    span = find_span(sentence, surface, *offsets)
    assert span == expected
    assert span is None or sentence[slice(*span)].lower() == surface.lower()


def test_only_names_are_needed():
    assert Entity('Q1', 'Paris') == Entity('Q1', 'Paris', '', ())
    assert Mention('1', 'Paris', 'In Paris.') == Mention('1', 'Paris', 'In Paris.', (), None, (), '', None, (), False)


def test_plain():
    assert plain(' The\u00a0 \nCAFÉ') == plain('the cafe\u0301') == 'the café'
    assert plain('東京') != plain('大阪')
