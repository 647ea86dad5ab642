r"""Tables of encoded rows, finished and under construction, as formats of the fuzzer."""

import shutil
from pathlib import Path

import torch

from drin_pyg.features.feature_table import FeatureTable, FeatureTableWriter


def write_table(folder: Path) -> None:
    r"""One feature table."""
    writer = FeatureTableWriter(folder / 'table', 'key', {'encoder': 'none'}, 40)
    writer.append({'mean': torch.randn(40, 6), 'first': torch.randn(40, 3)}, {3: 'missing'})
    writer.finish()


def read_table(folder: Path) -> None:
    table = FeatureTable(folder / 'table')
    for column in table.columns.values():
        assert column.dtype == torch.float32
        assert column.dim() == 2
        column.sum()


def rows() -> dict[str, torch.Tensor]:
    r"""What an encoder would give."""
    return {'mean': torch.arange(240.0).view(40, 6), 'first': torch.arange(120.0).view(40, 3)}


def write_rows(folder: Path) -> None:
    r"""A table under construction: half of its rows are there."""
    writer = FeatureTableWriter(folder / 'table', 'key', {'encoder': 'none'}, 40)
    writer.append({name: x[:20] for name, x in rows().items()}, {3: 'missing'})
    writer.close()


def read_rows(folder: Path) -> None:
    r"""Goes on with it. Damaged rows are made again, so that it ends as it would have."""
    writer = FeatureTableWriter(folder / 'table', 'key', {'encoder': 'none'}, 40)
    writer.append({name: x[writer.done:] for name, x in rows().items()}, {} if writer.done else {3: 'missing'})
    table = writer.finish()
    assert all(table[name].equal(x) for name, x in rows().items()), 'rows are not those that were encoded'
    assert table.failed == {3: 'missing'}
    shutil.rmtree(folder / 'table')
    shutil.copytree(folder.parent / 'example' / 'table', folder / 'table')  # for the next case
