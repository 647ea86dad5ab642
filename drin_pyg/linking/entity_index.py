from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.utils import cumsum

from drin_pyg.features.side_tables import SideTables
from drin_pyg.files import claim
from drin_pyg.linking.index_folder import (
    DTYPES,
    FORMAT,
    MANIFEST,
    check_unchanged,
    read_index,
    write_manifest,
    write_part,
    write_rows,
)
from drin_pyg.linking.index_part import OWN_NAMES, check_arrays, check_edges, make_part, unpack_ids
from drin_pyg.linking.mapped_pages import MappedPages
from drin_pyg.linking.model_key import model_key
from drin_pyg.nn import DRIN


class EntityIndex:
    r"""All that scoring needs of the entities of a knowledge base, computed once for a model.

    Of every entity vertex: its projection :math:`\mathbf{v}`, where the first layer's edge update,
    a residual or the score reads it; :math:`\mathbf{W}_h \mathbf{v}` of the first layer, which
    commutes with the sum over messages; and its side of the tables of first weights. Nothing is
    stored that the model does not read.

    Entities are numbered from 0 and keep their number: :meth:`replace` and :meth:`remove` change
    what a number means, :meth:`add` appends. An index is a list of immutable parts, so that a change
    writes only what is new, and one on disk is memory-mapped and shared by the processes that read it.

    Use :meth:`build` or :meth:`load`.
    """

    def __init__(self, manifest: dict, parts: list[dict[str, Tensor]], row: Tensor | None, folder: Path | None = None):
        self.manifest = manifest
        self.parts = parts
        self.folder = folder
        self._pages: MappedPages | None = None
        self._row = row  # entity to its row; -1 if it was removed; None if they are the same
        self._lay_out()

    def _lay_out(self) -> None:
        self._starts = {name: cumsum(torch.tensor([part[name].size(0) for part in self.parts])).tolist()
                        for name in self._array_names()}
        counts = [part['num_images'] for part in self.parts]
        num_images = counts[0] if len(counts) == 1 else torch.cat(counts)                        # [rows]
        self._image_ptr = None if bool((num_images == 1).all()) else cumsum(num_images)          # [rows + 1]
        self.num_entities = num_images.numel() if self._row is None else self._row.numel()
        self.widths = {name: self.parts[0][name].size(1) for name in self._starts}
        self._rows_of_id: dict[str, int] | None = None
        everything = torch.arange(self.num_entities)
        self.everything = everything if self._row is None else everything[self._row >= 0]

    def _array_names(self) -> list[str]:
        return [name for name in self.parts[0] if name not in OWN_NAMES]

    # Making one

    @classmethod
    def build(
        cls,
        model: DRIN,
        entities: SideTables,
        ids: Sequence[str] | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        folder: str | Path | None = None,
        device: torch.device | str | None = None,
        progress: bool = False,
        overwrite: bool = False,
    ) -> 'EntityIndex':
        r"""Computes an index.

        Args:
            model: A trained model with scalar edges.
            entities: Features of ``E`` entities.
            ids: Their ids; their numbers by default.
            dtype: What is stored: float64, float32, bfloat16 or float16.
            folder: Where to write it; None keeps it in memory. Memory then holds a batch at a time.
            device: Where to compute; by default where the model is.
            progress: Whether to show a progress bar.
            overwrite: Whether an index in the folder gives way. It stays until the new one is whole.

        Raises:
            ValueError: If the model has vector edges, the widths differ or an id occurs twice.
            FileExistsError: If the folder holds an index, and ``overwrite`` is False.
        """
        check_edges(model)
        if dtype not in DTYPES.values():
            raise ValueError(f"'dtype' must be one of {', '.join(DTYPES)}, got {dtype}")
        manifest = {'format': FORMAT, 'model': model_key(model), 'config': model.config(),
                    'dtype': str(dtype).removeprefix('torch.'), 'parts': [], 'rows': None}
        if folder is None:
            part, name = make_part(model, entities, ids, dtype, None, device, progress)
            return cls({**manifest, 'parts': [name]}, [part], None)
        with claim(folder := Path(folder)):
            if (folder / MANIFEST).exists() and not overwrite:
                raise FileExistsError(f"'{folder}' holds an index; name another folder, or load it and add to it")
            part, name = make_part(model, entities, ids, dtype, folder, device, progress)
            manifest = write_manifest(folder, {**manifest, 'parts': [name]})
        return cls(manifest, [part], None, folder)

    @classmethod
    def load(cls, folder: str | Path, model: DRIN | None = None, whole: bool = False,
             resident: int | None = None) -> 'EntityIndex':
        r"""Maps an index that :meth:`build` or :meth:`save` wrote; rows are read from disk as they are needed.

        Args:
            folder: Where from.
            model: The model it must belong to, if that is to be checked at once.
            whole: Whether to read all of it once and compare it with the digests of what was written. Files of up to
                256 MiB are always compared; of larger ones, size and shapes.
            resident: Bytes of its rows that may become resident before they are given back to the system, for an
                index larger than memory; None leaves that to the system.

        Raises:
            FileNotFoundError: If there is none, or one of its files is gone.
            ValueError: If it is damaged or belongs to another model.
        """
        folder = Path(folder)
        index = cls(*read_index(folder, whole), folder)
        if model is not None:
            index.check_model(model)
        if resident is not None:
            index._pages = MappedPages([x for part in index.parts for x in part.values()], resident)
        return index

    def save(self, folder: str | Path) -> Path:
        r"""Writes the index, or what changed since it was loaded from the same folder.

        The manifest is written last: until then, the folder holds the index as it was.

        Raises:
            FileExistsError: If the folder holds another index.
        """
        folder = Path(folder)
        own = self.folder is not None and folder.resolve() == self.folder.resolve()
        with claim(folder):
            if not own and (folder / MANIFEST).exists():
                raise FileExistsError(f"'{folder}' holds an index; name another folder")
            if own:
                check_unchanged(folder, self.manifest)
            names = [name if own and name is not None else write_part(folder, part)
                     for name, part in zip(self.manifest['parts'], self.parts, strict=True)]
            rows = None if self._row is None else write_rows(folder, self._row)
            known = self.manifest.get('files', {}) if own else {}
            self.manifest = write_manifest(folder, {**self.manifest, 'parts': names, 'rows': rows, 'files': known})
            self.folder = folder
        return folder

    # Changing one

    def add(self, model: DRIN, entities: SideTables, ids: Sequence[str] | None = None) -> Tensor:
        r"""Appends entities; nothing of the others is computed again.

        Args:
            model: The model of the index.
            entities: Features of the new entities.
            ids: Their ids; their numbers by default.

        Returns:
            Their numbers, int64 ``[A]``.

        Raises:
            ValueError: If the model is another one, or an id is taken.
        """
        number = torch.arange(self.num_entities, self.num_entities + entities.text.size(0))
        ids = [str(i) for i in number.tolist()] if ids is None else list(ids)
        if taken := [name for name in ids if name in self._numbers()]:
            raise ValueError(f"The index has an entity '{taken[0]}' already; replace it instead")
        first = self._append(model, entities, ids)
        self._change(torch.cat([self._rows(), torch.arange(first, first + number.numel())]))
        return number

    def replace(self, model: DRIN, entities: SideTables, ids: Sequence[str]) -> None:
        r"""Gives entities new features; they keep their numbers.

        Args:
            model: The model of the index.
            entities: Their features.
            ids: Whose they are.

        Raises:
            ValueError: If the model is another one, or an id is unknown or occurs twice.
        """
        number = self._known(ids)
        first = self._append(model, entities, ids)
        self._change(self._rows().index_copy(0, number, torch.arange(first, first + number.numel())))

    def remove(self, ids: Sequence[str]) -> None:
        r"""Takes entities out: comparing with one is an error from then on. Their numbers are not given again.

        Raises:
            ValueError: If an id is unknown.
        """
        number = self._known(ids)
        self._change(self._rows().index_fill(0, number, -1))

    def _rows(self) -> Tensor:
        """Row of each entity, -1 if it was removed."""
        return torch.arange(self.num_entities) if self._row is None else self._row

    def _change(self, row: Tensor) -> None:
        self._row = row
        self._lay_out()

    def _append(self, model: DRIN, entities: SideTables, ids: Sequence[str]) -> int:
        self.check_model(model)
        first = sum(part['num_images'].numel() for part in self.parts)
        part, _ = make_part(model, entities, ids, self.dtype)
        for name in self._array_names():
            if part[name].size(1) != self.widths[name]:
                raise ValueError(f"The new entities' '{name}' has width {part[name].size(1)}, the index "
                                 f"{self.widths[name]}")
        if self.device.type != 'cpu':
            part = _moved(part, self.device)
        self.parts.append(part)
        self.manifest['parts'] = [*self.manifest['parts'], None]
        return first

    # Asking one

    @property
    def dtype(self) -> torch.dtype:
        """What is stored."""
        return DTYPES[self.manifest['dtype']]

    @property
    def device(self) -> torch.device:
        """Where the arrays are."""
        return self.parts[0][self._array_names()[0]].device

    def to(self, device: torch.device | str) -> 'EntityIndex':
        r"""The index with its arrays on another device."""
        parts = [_moved(part, torch.device(device)) for part in self.parts]
        index = EntityIndex(dict(self.manifest), parts, self._row, self.folder)
        index._pages = self._pages if index.device == self.device else None  # of the same rows
        return index

    def check_model(self, model: DRIN) -> None:
        r"""Raises ValueError unless the index was built with this model, saying what differs."""
        if model_key(model) == self.manifest['model']:
            check_arrays(model, self.widths, self._where())
            return
        config, own = model.config(), self.manifest['config']
        differs = [f"{name} is {own.get(name)!r:.80} there and {value!r} here" for name, value in config.items()
                   if own.get(name) != value]
        raise ValueError(f"The entity index{self._where()} was built with another model "
                         f"({self.manifest['model'][:12]}, this is {model_key(model)[:12]}): "
                         f"{'; '.join(differs) or 'its parameters differ'}. Build one with this model")

    def _where(self) -> str:
        return f" in '{self.folder}'" if self.folder else ''

    def numbers(self, ids: Sequence[str]) -> Tensor:
        r"""Numbers of the entities with these ids, int64 ``[N]``; -1 for an id that is unknown or was removed."""
        known = self._numbers()
        return torch.tensor([known.get(name, -1) for name in ids], dtype=torch.long)

    def row_of(self, entity: Tensor) -> Tensor:
        r"""Rows of the parts, all together, that hold the given entities.

        Args:
            entity: Numbers, int64 ``[P]``.

        Raises:
            IndexError: If there is no such entity.
            ValueError: If one was removed.
        """
        if entity.numel() and (int(entity.min()) < 0 or int(entity.max()) >= self.num_entities):
            bad = entity[(entity < 0) | (entity >= self.num_entities)][0]
            raise IndexError(f"There is no entity {int(bad)}; the index has entities 0 to {self.num_entities - 1}")
        if self._row is None:
            return entity
        row = self._row[entity]
        if bool((row < 0).any()):
            raise ValueError(f"Entity {int(entity[row < 0][0])} was removed from the index, but is a candidate")
        return row

    def num_images(self, row: Tensor) -> Tensor | None:
        """Images of each row ``[P]``; None if every entity has one."""
        return None if self._image_ptr is None else self._image_ptr[row + 1] - self._image_ptr[row]

    def first_image(self, row: Tensor) -> Tensor:
        """Image row at which the images of each row begin, ``[P]``."""
        return self._image_ptr[row]

    def gather(self, name: str, row: Tensor, out: Tensor) -> Tensor:
        r"""Rows of an array, cast and moved to where ``out`` is.

        Args:
            name: The array.
            row: Rows over all parts, int64 ``[N]`` on the CPU.
            out: Where to, ``[N, width]``.
        """
        self._gather(name, row, out)
        if self._pages is not None:
            self._pages.keep()
        return out

    def _gather(self, name: str, row: Tensor, out: Tensor) -> None:
        starts = self._starts[name]
        if len(self.parts) == 1:
            _take(self.parts[0][name], row, out)
            return
        for part, start, stop in zip(self.parts, starts[:-1], starts[1:], strict=True):
            own = ((row >= start) & (row < stop)).nonzero().squeeze(1)
            if own.numel():
                out[own.to(out.device)] = part[name][(row[own] - start).to(part[name].device)].to(out.device, out.dtype)

    def _numbers(self) -> dict[str, int]:
        """Id to number."""
        if self._rows_of_id is None:
            try:
                names = [name for part in self.parts for name in unpack_ids(part)]
            except UnicodeDecodeError as error:
                raise ValueError(f"The entity index{self._where()} holds ids that are no text: {error}; build it "
                                 f"again") from error
            self._rows_of_id = {names[row]: number for number, row in enumerate(self._rows().tolist()) if row >= 0}
        return self._rows_of_id

    def _known(self, ids: Sequence[str]) -> Tensor:
        number = self.numbers(ids)
        if bool((number < 0).any()):
            raise ValueError(f"The index has no entity '{ids[int((number < 0).nonzero()[0])]}'")
        return number

    def __len__(self) -> int:
        return self.everything.numel()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} entities, {self.manifest['dtype']}, {self.device})"


def _take(array: Tensor, row: Tensor, out: Tensor) -> Tensor:
    row = row.to(array.device)
    if array.dtype == out.dtype and array.device == out.device:
        return torch.index_select(array, 0, row, out=out)
    return out.copy_(array.index_select(0, row))


def _moved(part: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: x if name in OWN_NAMES else x.to(device) for name, x in part.items()}
