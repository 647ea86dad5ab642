import itertools

import numpy as np
import pytest

from drin_pyg.evaluation import paired_test


def exact(a, b):
    """Every way to swap the two systems' results, one by one."""
    difference = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    means = np.array([(difference * signs).mean() for signs in itertools.product((1, -1), repeat=len(difference))])
    observed = difference.mean()
    # Twice the smaller tail, as scipy counts a two-sided test.
    tails = (means >= observed - 1e-12).mean(), (means <= observed + 1e-12).mean()
    return min(1.0, 2 * min(tails))


@pytest.mark.parametrize(('a', 'b'), [
    ([1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0]),
    ([1, 0, 1, 0, 1, 1, 0, 1], [0, 1, 1, 0, 0, 0, 0, 0]),
    ([0.2, 0.9, 0.4, 0.5, 1.0], [0.1, 0.3, 0.6, 0.5, 0.7]),
    ([0.1, 0.2, 0.3], [0.4, 0.9, 0.35]),
])
def test_equals_enumeration(a, b):
    assert paired_test(np.array(a), np.array(b)) == pytest.approx(exact(a, b))


def test_random_swaps_come_close_to_enumeration():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 2, 16), rng.integers(0, 2, 16)
    a[:6] = 1
    b[:6] = [0, 0, 0, 1, 0, 0]
    p = paired_test(a, b, num_resamples=4999)  # fewer than the 2 ** 16 ways there are
    assert p == pytest.approx(exact(a, b), abs=0.03)


def test_equal_systems():
    assert paired_test(np.array([1, 0, 1, 1]), np.array([1, 0, 1, 1])) == 1


def test_order_of_the_systems_does_not_matter():
    a, b = np.array([1, 1, 1, 0, 1, 1]), np.array([0, 0, 1, 0, 1, 0])
    assert paired_test(a, b) == pytest.approx(paired_test(b, a))


def test_same_seed_same_value():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, 200), rng.integers(0, 2, 200)
    assert paired_test(a, b, 499, seed=3) == paired_test(a, b, 499, seed=3)


def test_smallest_value():
    assert paired_test(np.ones(200), np.zeros(200), num_resamples=99) == 2 / 100


@pytest.mark.parametrize(('a', 'b'), [(np.ones(3), np.ones(4)), (np.ones((2, 2)), np.ones((2, 2)))])
def test_results_of_other_mentions_are_refused(a, b):
    with pytest.raises(ValueError, match='one result per mention'):
        paired_test(a, b)
