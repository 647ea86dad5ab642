import re

import pytest

from drin_pyg.datasets.raw_files import read_array


def test_an_array_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / 'gone.npy'))):
        read_array(tmp_path / 'gone.npy')
