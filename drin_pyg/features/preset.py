import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.typing import EdgeType
from torch_geometric.utils import cumsum

from drin_pyg.datasets import Entity, Mention
from drin_pyg.features.candidates import Candidates
from drin_pyg.features.encode_rows import IN_MEMORY, EncodedRows, Encoding, encode_rows
from drin_pyg.features.feature_table import map_array, npy_header
from drin_pyg.features.pair_tables import PairTables
from drin_pyg.features.row_encoder import RowEncoder
from drin_pyg.features.sequences import Sequences
from drin_pyg.features.side_tables import SideTables
from drin_pyg.files import naming, to_json

MENTION, ENTITY = 'mention', 'entity'  # the two sides
CHUNK = 16384  # rows gathered at once


class Preset(ABC):
    r"""A choice of frozen encoders that turns records into tables for the graphs.

    :meth:`entities` comes first: some presets learn from the knowledge base what they need for the
    mentions, and keep it as their :attr:`state`.

    Args:
        how: How encoders are run.
    """

    name: str  #: What the command line calls it.

    def __init__(self, how: Encoding = IN_MEMORY):
        self.how = how
        self.unusable: dict[str, str] = {}  #: Pictures that could not be used: file to reason.
        self.specs: dict[str, dict] = {}  #: What the rows were made by: side and encoder to its spec.

    @property
    @abstractmethod
    def options(self) -> dict[str, Any]:
        """What to construct an equal preset with, as JSON values."""

    @property
    def state(self) -> dict[str, Tensor]:
        """What was learned from the entities; empty if the encoders are all there is."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Takes over the :attr:`state` of another instance, in place of seeing the entities."""
        if state:
            raise ValueError(f"Preset '{self.name}' learns nothing from entities, but was given {', '.join(state)}")

    @abstractmethod
    def entities(self, records: Sequence[Entity], out: Path | None = None) -> SideTables:
        """Tables of the knowledge base; written to the folder ``out`` as they are made, if one is given."""

    @abstractmethod
    def mentions(self, records: Sequence[Mention], out: Path | None = None) -> SideTables:
        """Tables of mentions; written to the folder ``out`` as they are made, if one is given."""

    def learn(  # noqa: B027 - to learn nothing is the common case
        self,
        tables: PairTables,
        candidates: Candidates,
        mentions: Sequence[Mention],
        entities: Sequence[Entity],
        train: Tensor,
    ) -> None:
        """Learns what :meth:`pair_weights` needs from the answers of the mentions ``train``, int64 ``[B]``."""

    def pair_weights(
        self,
        tables: PairTables,
        candidates: Candidates,
        mentions: Sequence[Mention],
        entities: Sequence[Entity],
    ) -> dict[EdgeType, Tensor]:
        """First weights that are given per pair, ``[P]``, in place of the inner products of the tables; most presets
        give none."""
        return {}

    def sequences(self, records: Sequence[Mention]) -> tuple[Sequences, Sequences]:
        """Tokens of the mentions' sentences, and regions of their pictures, for models that read more than a vector.

        Raises:
            ValueError: If the encoders of this preset give none.
        """
        raise ValueError(f"Preset '{self.name}' has no tokens and regions; encode the data with 'offline' or 'text', "
                         f"or compare with a baseline that needs none")

    def run(self, encoder: RowEncoder, items: Sequence[Any], side: str) -> EncodedRows:
        """Encodes items of the ``"mention"`` or ``"entity"`` side.

        Raises:
            ValueError: If :attr:`specs` names another encoder: the rows would not compare with those on disk.
        """
        name, spec = f'{side} {encoder.name}', json.loads(to_json(encoder.spec))
        known = self.specs.setdefault(name, spec)
        if known != spec:
            raise ValueError(f"The tables hold rows of {name} by {known}, but what is loaded now is {spec}; load that "
                             f"model, or encode the tables again")
        return encode_rows(encoder, items, self.how)

    def encode_pictures(
        self,
        encoder: RowEncoder,
        records: Sequence[Entity | Mention],
        side: str,
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Columns of the distinct pictures of all records, the row of each picture that could be used, and whose
        they are (``ptr``)."""
        pictures = [picture for record in records for picture in record.pictures]
        found = self.run(encoder, pictures, side)
        for i, reason in found.reasons.items():
            self.unusable[str(pictures[i].path)] = reason
        owner = torch.repeat_interleave(torch.tensor([len(record.pictures) for record in records], dtype=torch.long))
        usable = found.index >= 0
        counts = torch.bincount(owner[usable], minlength=len(records))
        return found.columns, found.index[usable], cumsum(counts)


def gather(column: Tensor, index: Tensor, path: Path | None) -> Tensor:
    r"""Rows ``[N, F]`` of a column, in memory, or written to a ``.npy`` file piece by piece and mapped from there."""
    if path is None:
        return column[index]
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path), open(path, 'wb') as file:
        file.write(npy_header(index.numel(), column.size(1)))
        for rows in index.split(CHUNK):
            column[rows].contiguous().numpy().tofile(file)
    return map_array(path)


def entity_words(entity: Entity) -> str:
    r"""What the encoders read of an entity: "name. description"."""
    return f'{entity.name}. {entity.description}'
