r"""The files of an entity index: immutable parts, the rows of the entities, and a manifest that is written last."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drin_pyg.files import check_file, fingerprint, own_file, read_record, write_record
from drin_pyg.linking.index_part import check_parts, new_name
from drin_pyg.linking.tensor_file import map_tensors, write_tensors

FORMAT = 1
MANIFEST = 'index.json'
DTYPES = {str(dtype).removeprefix('torch.'): dtype
          for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16)}


def read_index(folder: Path, whole: bool = False) -> tuple[dict[str, Any], list[dict[str, Tensor]], Tensor | None]:
    r"""Maps the files of an index.

    Args:
        folder: Where they are.
        whole: As for :meth:`EntityIndex.load`, as are the errors.

    Returns:
        The manifest, the parts, and the row of each entity (None if they are the same).
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"'{folder}' holds no entity index: '{MANIFEST}' is missing; build one, which also "
                                f"removes what a killed process left")
    try:
        manifest = read_record(path, FORMAT)
        if not isinstance(manifest['model'], str) or not isinstance(manifest['config'], dict):
            raise ValueError('it does not say which model it belongs to')
        names = _names(manifest)
        if not manifest['parts'] or len(set(names)) < len(names):
            raise ValueError('it names no files of its folder')
        parts = [map_tensors(own_file(folder, name)) for name in manifest['parts']]
        row = map_tensors(own_file(folder, manifest['rows']))['row'] if manifest['rows'] else None
        check_parts(parts, row, DTYPES[manifest['dtype']])
        for name, known in manifest.get('files', {}).items():  # earlier versions knew the shapes alone
            check_file(own_file(folder, name), known, whole)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, RuntimeError) as error:
        raise ValueError(f"'{path}' is no readable index: {str(error)[:1000]}; build it again") from error
    return manifest, parts, row


def check_unchanged(folder: Path, manifest: dict[str, Any]) -> None:
    r"""Raises ValueError if another process saved changes since the manifest was read: they would be lost."""
    found = read_record(folder / MANIFEST, FORMAT)
    names = [name for name in manifest['parts'] if name is not None]
    if (found['parts'], found['rows']) != (names, manifest['rows']):
        raise ValueError(f"The index in '{folder}' was changed since it was loaded; load it again, and change that one")


def write_part(folder: Path, part: dict[str, Tensor]) -> str:
    r"""Writes a part into a file of its own, whose name it returns."""
    name = new_name('part')
    write_tensors(folder / name, {key: (x.dtype, tuple(x.shape)) for key, x in part.items()},
                  lambda target: [target[key].copy_(x) for key, x in part.items()])
    return name


def write_rows(folder: Path, row: Tensor) -> str:
    r"""Writes the rows of the entities into a file of their own, whose name it returns."""
    name = new_name('rows')
    write_tensors(folder / name, {'row': (torch.int64, tuple(row.shape))}, lambda target: target['row'].copy_(row))
    return name


def write_manifest(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    r"""Writes the manifest, then removes what it does not name: rows as they were, and what killed processes left.
    Processes that mapped a file keep it.

    Returns:
        The manifest, with the fingerprints of its files.
    """
    names, known = _names(manifest), manifest.get('files', {})
    manifest = {**manifest, 'files': {name: known.get(name) or fingerprint(folder / name) for name in names}}
    write_record(folder / MANIFEST, manifest)
    for path in folder.glob('*.safetensors'):
        if path.name not in names and path.name.startswith(('part-', 'rows-')):
            path.unlink()
    return manifest


def _names(manifest: dict[str, Any]) -> list[str]:
    """The files of an index, without the manifest."""
    return [*manifest['parts'], *([manifest['rows']] if manifest['rows'] else [])]
