"""Graphs and batches, field by field."""

import torch
from torch import Tensor


def assert_equal(actual, expected, path=''):
    """Same keys, types, dtypes and shapes; integers equal, floats equal up to the order of a sum."""
    assert type(actual) is type(expected), path
    if isinstance(expected, dict):
        assert set(actual) == set(expected), path
        for key in expected:
            assert_equal(actual[key], expected[key], f'{path}[{key!r}]')
    elif isinstance(expected, Tensor):
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6, msg=lambda text: f'{path}: {text}')
    else:
        assert actual == expected, path


def assert_same_graph(actual, expected):
    assert type(actual) is type(expected)
    assert_equal(actual.to_dict(), expected.to_dict())
