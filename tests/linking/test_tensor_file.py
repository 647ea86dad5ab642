import os

import pytest
import torch
from safetensors.torch import load_file

from drin_pyg.linking.tensor_file import map_tensors, write_tensors

SPEC = {'narrow': (torch.float16, (3, 1)), 'wide': (torch.float64, (5, 2)), 'none': (torch.int64, (0, 4))}


@pytest.mark.parametrize('reserves', [True, False])
def test_what_is_filled_in_is_in_the_file(tmp_path, monkeypatch, reserves):
    if not reserves:  # a system that cannot say in advance whether there is room
        monkeypatch.delattr(os, 'posix_fallocate', raising=False)
    expected = {name: torch.randn(shape).to(dtype) for name, (dtype, shape) in SPEC.items()}

    def fill(tensors):
        assert not any(x.any() for x in tensors.values())
        for name, x in expected.items():
            tensors[name].copy_(x)

    write_tensors(tmp_path / 'x.safetensors', SPEC, fill)
    assert [path.name for path in tmp_path.iterdir()] == ['x.safetensors']
    for found in (map_tensors(tmp_path / 'x.safetensors'), load_file(tmp_path / 'x.safetensors')):
        assert found.keys() == expected.keys()
        for name, x in expected.items():
            assert found[name].dtype == x.dtype
            assert found[name].equal(x)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"x\.safetensors' is missing"):
        map_tensors(tmp_path / 'x.safetensors')
