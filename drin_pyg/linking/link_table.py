r"""Columnar linking: a table of mentions in, a table of links out. Needs pyarrow."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import cumsum

from drin_pyg.features import Candidates
from drin_pyg.files import utf8
from drin_pyg.linking.link_error import check_on_error
from drin_pyg.linking.link_request import FIELDS, LinkRequest
from drin_pyg.linking.linker import Linker, best_pairs, check_count

try:
    import pyarrow as pa
except ImportError as error:
    raise ImportError("Tables of mentions and links need pyarrow; install it with `pip install "
                      "'drin_pyg[parquet]'`") from error

_TEXTS = pa.list_(pa.string())
MENTIONS = pa.schema([(name, {'start': pa.int64(), 'end': pa.int64(), 'images': _TEXTS, 'captions': _TEXTS,
                              'candidates': _TEXTS}.get(name, pa.string())) for name in FIELDS])
CANDIDATE = pa.struct([('id', pa.string()), ('name', pa.string()), ('score', pa.float32()),
                       ('probability', pa.float32())])
LINKS = pa.schema([('id', pa.string()), ('nil', pa.bool_()), ('confidence', pa.float64()),
                   ('candidates', pa.list_(CANDIDATE)), ('error', pa.string())])


def link_table(
    linker: Linker,
    table: pa.Table,
    k: int = 5,
    *,
    first: int = 1,
    folder: str | Path | None = None,
    on_error: Literal['raise', 'yield'] = 'raise',
) -> pa.Table:
    r"""Links a table of mentions as :meth:`Linker.link_many` ranks them, without the relation weights that explain it.

    Texts are read row by row; lists, scores and results are arrays throughout.

    Args:
        linker: The linker.
        table: A row a mention, with columns of ``MENTIONS``, of which ``sentence`` and ``mention`` are needed. Null
            counts as absent.
        k: Candidates of each mention to return.
        first: Number of the first row; a mention without an id has its number as one.
        folder: What images are relative to; None for the working folder.
        on_error: What happens to a row that cannot be linked: ``"raise"``, or ``"yield"`` what is wrong in its place.

    Returns:
        A row a mention, in order, with the columns of ``LINKS``: ``nil`` and ``confidence`` are null without a
        calibration, ``candidates`` come best first. Of a row that could not be linked, ``error`` says why, and all
        but ``id`` is null.

    Raises:
        ValueError: If a column is missing, unknown or of another type; naming the number of the row, if it is a row.
    """
    check_count('k', k)
    check_on_error(on_error)
    table = _read_columns(table)
    texts = table.drop_columns(['candidates'] if 'candidates' in table.column_names else []).to_pylist()
    ids, requests, errors = [], [], {}
    for row, record in enumerate(texts):
        record = {name: value for name, value in record.items() if value is not None}
        ids.append(record.get('id', str(first + row)))
        try:
            requests.append(LinkRequest.read(record, first + row, None if folder is None else Path(folder)))
        except ValueError as error:
            requests.append(None)
            errors[row] = str(error)
    entity, counts, without = _read_candidates(linker, table, errors)
    if errors and on_error == 'raise':
        row = min(errors)
        raise ValueError(f'Record {first + row}: {errors[row]}')
    good = torch.tensor([row for row in range(len(requests)) if row not in errors], dtype=torch.long)
    found = _link(linker, [requests[row].mention for row in good.tolist()],
                  Candidates(cumsum(counts), entity).select(good), without[good.numpy()].tolist(), k)
    place = np.full(len(requests), -1)
    place[good.numpy()] = np.arange(good.numel())
    found = found.take(pa.array(place, mask=place < 0))  # a row of nulls where there is none
    reasons = pa.array([errors.get(row) for row in range(len(requests))], pa.string())
    return pa.table([pa.array(ids, pa.string()), *found.columns, reasons], schema=LINKS)


def _read_columns(table: pa.Table) -> pa.Table:
    """The same columns, of the types that they must have."""
    if unknown := [name for name in table.column_names if name not in MENTIONS.names]:
        raise ValueError(f"There is no column '{unknown[0]}'; there are {', '.join(MENTIONS.names)}")
    for name in ('sentence', 'mention'):
        if name not in table.column_names:
            raise ValueError(f"The column '{name}' is missing; there are {', '.join(table.column_names) or 'none'}")
    if twice := [name for name in MENTIONS.names if table.column_names.count(name) > 1]:
        raise ValueError(f"The column '{twice[0]}' is there twice")
    columns = []
    for name in table.column_names:
        kind, found = MENTIONS.field(name).type, table[name]
        if not (_fits(found.type, kind) or (name == 'id' and pa.types.is_integer(found.type))):
            raise ValueError(f"The column '{name}' must be {kind}, got {found.type}")
        try:
            columns.append(found.cast(kind))
            columns[-1].validate(full=True)  # text that is no UTF-8, lists that reach out of their values
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ValueError(f"The column '{name}' cannot be read: {str(error)[:1000]}") from error
    return pa.table(columns, names=table.column_names)


def _fits(found: pa.DataType, kind: pa.DataType) -> bool:
    """Whether a column is of a kind, in any of the ways in which Arrow holds it; whole numbers may be floats, as
    pandas has them beside what is missing."""
    if pa.types.is_dictionary(found):
        found = found.value_type
    if pa.types.is_null(found):
        return True
    if pa.types.is_list(kind):
        return (pa.types.is_list(found) or pa.types.is_large_list(found)) and _fits(found.value_type, kind.value_type)
    if pa.types.is_integer(kind):
        return pa.types.is_integer(found) or pa.types.is_floating(found)
    return pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found)


def _read_candidates(linker: Linker, table: pa.Table, errors: dict[int, str]) -> tuple[Tensor, Tensor, np.ndarray]:
    """Entity rows ``[P]`` of the given lists, their lengths ``[M]``, and which mentions come without, bool ``[M]``.

    A mention whose list is not right, or that is in ``errors``, has an empty list; why is added to ``errors``.
    """
    if 'candidates' not in table.column_names:
        nothing = torch.zeros(table.num_rows, dtype=torch.long)
        return nothing[:0], nothing, np.ones(table.num_rows, dtype=bool)
    column = table['candidates'].combine_chunks()
    without = column.is_null().to_numpy(zero_copy_only=False)
    counts = torch.from_numpy(column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64))
    values = column.flatten().dictionary_encode()  # leaves out what lies under a null; each id is looked up once
    # One row more, which a null points to.
    rows = np.append(linker.data.entities.rows(values.dictionary.to_pylist()), -1)
    entity = torch.from_numpy(rows[values.indices.fill_null(len(rows) - 1).to_numpy(zero_copy_only=False)])
    owner = torch.repeat_interleave(counts)
    for pair in (entity < 0).nonzero().squeeze(1).tolist():
        errors.setdefault(int(owner[pair]), f"The knowledge base has no entity '{values[pair]!s:.80}'"
                          if values[pair].is_valid else "A candidate is null; give its id or leave it out")
    wrong = torch.zeros(table.num_rows, dtype=torch.bool)
    wrong[list(errors)] = True
    return entity[~wrong[owner]], counts.masked_fill(wrong, 0), without


def _link(linker: Linker, mentions: list, given: Candidates, without: list[bool], k: int) -> pa.Table:
    """``nil``, ``confidence`` and ``candidates`` of mentions."""
    if not mentions:
        return pa.table([[], [], []], schema=pa.schema([LINKS.field(i) for i in (1, 2, 3)]))
    _, lists, scores = linker.score(mentions, given, without, k)
    chosen = best_pairs(scores, lists, k)                                          # [C]
    probability, confidence = linker.judge(scores, lists)
    threshold = None if linker.calibration is None else linker.calibration.threshold
    distinct, place = lists.entity[chosen].unique(return_inverse=True)
    entities = [linker.data.entities[row] for row in distinct.tolist()]
    known = probability[chosen].float()
    ranked = pa.StructArray.from_arrays([
        *(pa.array([utf8(name) for name in names], pa.string()).take(pa.array(place.numpy()))
          for names in ([entity.id for entity in entities], [entity.name for entity in entities])),
        pa.array(scores[chosen].float().numpy()),
        pa.array(known.numpy(), mask=known.isnan().numpy()),
    ], fields=list(CANDIDATE))
    ends = cumsum(lists.counts.clamp(max=k)).to(torch.int32)
    sure = pa.array(confidence, pa.float64())
    nil = pa.nulls(len(sure), pa.bool_()) if threshold is None else pa.array([c < threshold for c in confidence])
    return pa.table([nil, sure, pa.ListArray.from_arrays(pa.array(ends.numpy()), ranked)],
                    schema=pa.schema([LINKS.field(i) for i in (1, 2, 3)]))
