import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from drin_pyg.datasets import PictureError
from drin_pyg.features.feature_table import FeatureTable, FeatureTableWriter
from drin_pyg.features.row_encoder import RowEncoder
from drin_pyg.files import LOCK, claim, content_key, to_json

logger = logging.getLogger(__name__)

SAVE_EVERY = 32  # batches; what a kill costs at most


@dataclass(frozen=True, eq=False)
class EncodedRows:
    r"""Features of a list of items.

    Args:
        columns: Column name to float32 ``[rows, width]``, one row a *distinct* item.
        index: Row of each item, int64 ``[items]``; -1 where it could not be encoded.
        reasons: Item to why it could not.
    """

    columns: dict[str, Tensor]
    index: Tensor
    reasons: dict[int, str]


@dataclass(frozen=True)
class Encoding:
    r"""How encoders are run.

    Args:
        store: Folder in which tables are kept (each under a name of its own, keyed by content);
            None keeps them in memory only.
        num_workers: Worker processes that prepare items; 0 prepares them in this process.
        progress: Whether to show bars with rate and time left.
    """

    store: Path | None = None
    num_workers: int = 0
    progress: bool = False


IN_MEMORY = Encoding()


def encode_rows(encoder: RowEncoder, items: Sequence[Any], how: Encoding = IN_MEMORY) -> EncodedRows:
    r"""Encodes items, each distinct one once.

    With a store, the run can be killed at any point: started again, it goes on after the last batch
    that was saved, and ends with the same bytes, because which items share a batch depends on the
    items alone. A finished table is found again by the digest of items and encoder.

    Args:
        encoder: The encoder.
        items: What to encode.
        how: Where to and with what help.

    Raises:
        ValueError: If the encoder gives NaN or infinite values, naming the item.
    """
    keys = encoder.keys(items)
    first: dict[str, int] = {}  # key to the first item that has it
    for i, key in enumerate(keys):
        if key is not None:
            first.setdefault(key, i)
    distinct = list(first.values())
    order = encoder.order([items[i] for i in distinct])
    distinct = [distinct[place] for place in order]  # in the order of the rows
    row = {keys[i]: r for r, i in enumerate(distinct)}
    work = _Prepared(encoder, [items[i] for i in distinct])

    if how.store is None:
        columns, failed = _in_memory(encoder, work, how)
    else:
        digest = content_key([to_json(encoder.spec), *(keys[i] for i in distinct)])
        table = _on_disk(encoder, work, how, digest)
        columns, failed = table.columns, table.failed
    index = [-1 if key is None or row[key] in failed else row[key] for key in keys]
    reasons = {i: 'missing' if key is None else failed[row[key]] for i, key in enumerate(keys) if index[i] < 0}
    return EncodedRows(columns, torch.tensor(index, dtype=torch.long), reasons)


class _Prepared(Dataset):
    """Prepared items; one that cannot be used comes as the reason."""

    def __init__(self, encoder: RowEncoder, items: list[Any]):
        self.encoder = encoder
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Any:
        try:
            return self.encoder.prepare(self.items[row])
        except PictureError as error:
            return _Unusable(error.reason)


@dataclass(frozen=True)
class _Unusable:
    reason: str


def _batches(encoder: RowEncoder, work: _Prepared, how: Encoding, done: int):
    """Rows of the batches after ``done`` rows, and which of them failed."""
    sizes = range(done, len(work), encoder.batch_size)
    batches = [list(range(start, min(start + encoder.batch_size, len(work)))) for start in sizes]
    loader = DataLoader(work, batch_sampler=batches, collate_fn=list, num_workers=how.num_workers)
    with tqdm(total=len(work), initial=done, desc=f'Encoding {encoder.name}', unit='row', disable=not how.progress,
              leave=False) as bar:
        for rows, batch in zip(batches, loader, strict=True):
            failed = {i: item.reason for i, item in enumerate(batch) if isinstance(item, _Unusable)}
            good = [i for i in range(len(batch)) if i not in failed]
            columns = encoder.rows([batch[i] for i in good])  # of none, for the widths
            for name, found in columns.items():
                if not bool(found.isfinite().all()):
                    place = int((~found.isfinite()).any(1).nonzero()[0])
                    raise ValueError(f"The encoder of {encoder.name} gives NaN or infinite values in '{name}' for "
                                     f"{work.items[rows[good[place]]]!r:.200}")
                if failed:
                    columns[name] = found.new_zeros(len(batch), found.size(1)).index_copy_(0, torch.tensor(good).long(),
                                                                                           found)
            yield columns, failed
            bar.update(len(batch))


def _in_memory(encoder: RowEncoder, work: _Prepared, how: Encoding) -> tuple[dict[str, Tensor], dict[int, str]]:
    parts: list[dict[str, Tensor]] = []
    failed: dict[int, str] = {}
    for columns, bad in _batches(encoder, work, how, 0):
        failed |= {len(parts) * encoder.batch_size + i: reason for i, reason in bad.items()}
        parts.append(columns)
    parts = parts or [encoder.rows([])]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}, failed


def _on_disk(encoder: RowEncoder, work: _Prepared, how: Encoding, digest: str) -> FeatureTable:
    folder = how.store / f"{encoder.name.replace(' ', '_')}-{digest[:32]}"
    with claim(folder, wait=True):  # a second process waits, then finds the table
        try:
            return FeatureTable(folder, digest)
        except FileNotFoundError:
            pass
        except ValueError as error:
            logger.warning("%s", error)
            logger.warning("Encoding it again")
            for path in folder.iterdir():  # removed, not written over: who has mapped them keeps them
                if path.name != LOCK:
                    path.unlink()
        writer = FeatureTableWriter(folder, digest, encoder.spec, len(work))
        try:
            for number, (columns, failed) in enumerate(_batches(encoder, work, how, writer.done), 1):
                writer.append(columns, failed)
                if number % SAVE_EVERY == 0:
                    writer.save_progress()
            if not writer.widths:
                writer.append(encoder.rows([]), {})
            return writer.finish()
        finally:
            writer.close()
