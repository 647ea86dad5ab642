import math

import pytest
import torch

from drin_pyg.features.first_weights import cosine_tables, no_weight_tables, object_similarity


def randn(*size, seed=0):
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def cosine(a, b):
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    return dot / (math.sqrt(sum(float(x) ** 2 for x in a)) * math.sqrt(sum(float(y) ** 2 for y in b)))


def object_loop(mention, s, entity, t):
    total = sum(float(a) * float(b) for a in s for b in t)
    alike = sum(float(s[i]) * float(t[j]) * cosine(mention[i], entity[j])
                for i in range(len(s)) for j in range(len(t)))
    return alike / (total + 1e-9)


def test_cosines_equal_loops():
    mention, entity = randn(4, 5), randn(3, 5, seed=1)
    a, b = cosine_tables(mention, entity)
    expected = torch.tensor([[cosine(x, y) for y in entity] for x in mention], dtype=torch.float64)
    torch.testing.assert_close(a @ b.t(), expected)


def test_length_does_not_matter():
    mention, entity = randn(4, 5), randn(3, 5, seed=1)
    for one, other in zip(cosine_tables(mention, entity), cosine_tables(1e-3 * mention, 1e6 * entity), strict=True):
        torch.testing.assert_close(one, other)


def test_a_row_of_zeros_has_cosine_zero():
    a, b = cosine_tables(torch.zeros(1, 3), torch.eye(3))
    assert (a @ b.t()).eq(0).all()


@pytest.mark.parametrize(('num_mention', 'num_entity'), [(3, 1), (3, 2), (1, 1), (1, 4)])
def test_objects_equal_loops(num_mention, num_entity):
    mention, entity = randn(6, num_mention, 5), randn(6, num_entity, 5, seed=1)
    s, t = randn(6, num_mention, seed=2).sigmoid(), randn(6, num_entity, seed=3).sigmoid()
    expected = [object_loop(*row) for row in zip(mention, s, entity, t, strict=True)]
    torch.testing.assert_close(object_similarity(mention, s, entity, t), torch.tensor(expected, dtype=torch.float64))


def test_padding_objects_do_not_count():
    mention, entity = randn(2, 3, 5), randn(2, 1, 5, seed=1)
    s, t = torch.tensor([[0.5, 0.2, 0.0]] * 2).double(), torch.tensor([[0.7]] * 2).double()
    padded = mention.clone()
    padded[:, 2] = 0
    without = object_similarity(mention[:, :2], s[:, :2], entity, t)
    torch.testing.assert_close(object_similarity(mention, s, entity, t), without)
    torch.testing.assert_close(object_similarity(padded, s, entity, t), without)


@pytest.mark.parametrize('side', [0, 1])
def test_nothing_detected(side):
    scores = [torch.full((2, 3), 0.5), torch.full((2, 1), 0.5)]
    scores[side] = torch.zeros_like(scores[side])
    assert object_similarity(torch.ones(2, 3, 5), scores[0], torch.ones(2, 1, 5), scores[1]).eq(0).all()


def test_equal_objects_are_alike():
    objects = randn(1, 1, 5)
    score = torch.tensor([[0.9]]).double()
    assert float(object_similarity(objects, score, 3 * objects, score)) == pytest.approx(1)


def test_no_weights_are_zero():
    a, b = no_weight_tables(3, 4, torch.float64)
    assert (a @ b.t()).equal(torch.zeros(3, 4, dtype=torch.float64))
