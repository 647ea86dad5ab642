r"""Encoded data on disk: what ``drin-pyg encode`` writes and ``drin-pyg train`` reads."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from drin_pyg.datasets import DRINPreprocessed, Findings, MELDataset, MELFolder, open_dataset, write_mel_folder
from drin_pyg.datasets.open_dataset import EMOJI
from drin_pyg.features.candidates import NIL, Candidates
from drin_pyg.features.encode_rows import IN_MEMORY, Encoding
from drin_pyg.features.feature_table import map_array
from drin_pyg.features.mel_data import MELData, encode, split_index
from drin_pyg.features.preprocessed import preprocessed_data
from drin_pyg.features.preset import ENTITY, MENTION
from drin_pyg.features.presets import make_preset
from drin_pyg.features.side_tables import SideTables, pair_tables, side_tables
from drin_pyg.features.tables_summary import TablesSummary
from drin_pyg.files import (
    LOCK,
    check_files,
    claim,
    content_key,
    digest_file,
    fingerprint,
    open_atomic,
    own_file,
    read_record,
    to_json,
    write_atomic,
    write_record,
)
from drin_pyg.vocabulary import EDGE_TYPES, RELATIONS

FORMAT = 1
MANIFEST, DATA, STATE = 'tables.json', 'data', 'state.safetensors'
REMEDY = 'remove the folder and encode the data again'
WORK = 'work'  # tables of distinct rows under construction; removed in the end
SIDES = (MENTION, ENTITY)
OWN_FILE = re.compile(rf'{WORK}$|{DATA}$|{STATE}$|(mention|entity|candidates)\..*\.npy$|\..*\.tmp$|\.lock$')


def save_tables(data: MELData, folder: str | Path, source: dict[str, Any]) -> None:
    r"""Writes encoded data; the manifest comes last, so that a folder with one is whole.

    Args:
        data: The data.
        folder: The folder.
        source: What it was made from, as JSON values; kept in the manifest.
    """
    folder = Path(folder)
    manifest: dict[str, Any] = {'format': FORMAT, 'source': source, 'notes': data.notes}
    for name, side in zip(SIDES, side_tables(data.tables), strict=True):
        manifest[name] = _save_side(folder, name, side)
    arrays = {'ptr': data.candidates.ptr, 'entity': data.candidates.entity, 'gold': data.candidates.gold,
              **{f'weight_{t[1]}': weight for t, weight in data.candidates.weight.items()}}
    manifest['candidates'] = {name: _save_array(folder, f'candidates.{name}', x) for name, x in arrays.items()
                              if x is not None}
    if data.entities is None:
        manifest['split'] = {name: rows.tolist() for name, rows in data.split.items()}
    else:
        shutil.rmtree(folder / DATA, ignore_errors=True)
        write_mel_folder(data.entities, data.mentions, folder / DATA)
        manifest['rows'] = {name: digest_file(folder / DATA / f'{name}.jsonl') for name in ('entities', 'mentions')}
    if data.preset is not None:
        manifest |= {'preset': data.preset.name, 'options': data.preset.options, 'encoders': data.preset.specs,
                     'unusable': data.preset.unusable}
        if data.preset.state:
            write_atomic(folder / STATE, save({name: x.contiguous() for name, x in data.preset.state.items()}))
    manifest['key'] = content_key([to_json({**manifest, 'notes': None, 'unusable': None})])
    names = {*_arrays(manifest), *([STATE] if data.preset is not None and data.preset.state else [])}
    manifest['files'] = {name: fingerprint(folder / name) for name in sorted(names)}
    manifest['images'] = _digest_images(folder)
    write_record(folder / MANIFEST, manifest)


def _arrays(manifest: dict[str, Any]) -> list[str]:
    """Names of the files of arrays."""
    return list(dict.fromkeys(entry['file'] for name in (*SIDES, 'candidates') for entry in manifest[name].values()))


def encode_folder(
    source: str | Path,
    out: str | Path,
    preset: str = 'offline',
    options: dict[str, Any] | None = None,
    *,
    device: str = 'cpu',
    num_workers: int = 0,
    work: str | Path | None = None,
    progress: bool = False,
) -> TablesSummary:
    r"""Encodes a data set into a folder. Killed at any point and called again, it goes on and ends with the same bytes.

    Args:
        source: What :func:`~drin_pyg.datasets.open_dataset` takes, or a folder in DRIN's preprocessed
            format, whose features are taken over.
        out: The folder.
        preset: Name of the encoders; see :func:`make_preset`.
        options: Arguments of the preset.
        device: Where models run.
        num_workers: Processes that decode pictures.
        work: Folder for the rows of distinct texts and pictures, which is kept, so that other settings
            find them again. None: a folder inside ``out`` that is removed in the end.
        progress: Whether to show progress bars.

    Returns:
        What was encoded, and what could not be.

    Raises:
        ValueError: If the folder holds tables of something else, or the data cannot be encoded.
    """
    out = Path(out)
    if str(source) != EMOJI and DRINPreprocessed.recognises(Path(source)):
        origin = {'reader': DRINPreprocessed.__name__, 'source': str(Path(source).resolve())}
        if not _is_there(out, origin):
            with claim(out, wait=True):
                if not _is_there(out, origin):
                    save_tables(preprocessed_data(source), out, origin)
        return _summary(out)
    dataset = open_dataset(source)
    how = Encoding(out / WORK if work is None else Path(work), num_workers, progress)
    encoders = make_preset(preset, how, **({'device': device} if device != 'cpu' else {}), **(options or {}))
    origin = {'reader': type(dataset).__name__, 'source': str(dataset.folder.resolve()), 'preset': preset,
              'options': encoders.options, 'records': _digest_records(dataset)}
    if not _is_there(out, origin) or (out / WORK).exists() or (out / LOCK).exists():  # or it was not tidied up
        with claim(out, wait=True):  # a second process waits, then finds the tables
            if not _is_there(out, origin):
                save_tables(encode(dataset, encoders, out / WORK), out, origin)
            shutil.rmtree(out / WORK, ignore_errors=True)
    return _summary(out, dataset.findings)


def _is_there(out: Path, origin: dict[str, Any]) -> bool:
    """Whether the folder holds the tables already."""
    if not (out / MANIFEST).is_file():
        if out.is_dir() and not all(OWN_FILE.match(path.name) for path in out.iterdir()):
            raise ValueError(f"'{out}' holds other files; name a new folder for the tables")
        return False
    known = read_manifest(out)['source']
    if known != json.loads(to_json(origin)):
        other = next(name for name in {**known, **origin} if known.get(name) != json.loads(to_json(origin.get(name))))
        raise ValueError(f"'{out}' holds tables made otherwise ('{other}' was {known.get(other)!r:.80} and is "
                         f"{origin.get(other)!r:.80}); remove it, or name another folder")
    return True


def _digest_records(dataset: MELDataset) -> str:
    """Digest of all records, and of size and time of the pictures they refer to."""

    def pictures(record) -> list:
        files = []
        for picture in record.pictures:
            state = picture.path.stat() if picture.path.is_file() else None
            files.append([str(picture.path), picture.box, state and [state.st_size, state.st_mtime_ns]])
        return files

    return content_key(to_json(vars(record) | {'pictures': pictures(record)})
                       for records in (dataset.entities, dataset.mentions) for record in records)


def _summary(folder: Path, findings: Findings | None = None) -> TablesSummary:
    manifest = read_manifest(folder)
    shapes = {side: {role: manifest[side][role]['shape'] for role in ('text', 'image')} for side in SIDES}
    return TablesSummary(folder, shapes, manifest.get('preset'), manifest['notes'], manifest.get('unusable', {}),
                         findings)


def read_manifest(folder: str | Path) -> dict[str, Any]:
    r"""The manifest of encoded data.

    Raises:
        FileNotFoundError: If the folder holds no (finished) tables.
        ValueError: If the manifest is damaged or of another format.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"'{folder}' holds no encoded tables ('{MANIFEST}' is missing); make some with "
                                f"`drin-pyg encode DATA --out {folder}`, which also goes on with an interrupted run")
    try:
        manifest = read_record(path, FORMAT)
        if absent := [name for name in ('source', 'key', *SIDES, 'candidates', 'notes') if name not in manifest]:
            raise ValueError(f"'{absent[0]}' is missing in it")
        if not isinstance(manifest['source'], dict):
            raise ValueError(f"'source' is {manifest['source']!r:.60}")
    except ValueError as error:
        raise ValueError(f"'{path}' is damaged or of another format: {error}; encode the data again") from error
    return manifest


def load_tables(folder: str | Path, how: Encoding = IN_MEMORY, **options: Any) -> MELData:
    r"""Reads encoded data; features stay on disk and are memory-mapped.

    Args:
        folder: The folder.
        how: How new mentions are encoded.
        **options: Options of the preset to change, such as ``device`` or the local path of a model.

    Raises:
        FileNotFoundError: If the folder holds no (finished) tables, or a file is missing.
        ValueError: If a file is damaged, or is not the one the tables were made with, naming it.
    """
    folder, manifest = Path(folder), read_manifest(folder)
    try:
        return _check_rows(_load(folder, manifest, how, options))
    # What a manifest from elsewhere says reaches constructors as it is, of whatever kind.
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, SafetensorError) as error:
        raise ValueError(f"'{folder / MANIFEST}' cannot be used: {str(error)[:1000]}") from error


def _load(folder: Path, manifest: dict[str, Any], how: Encoding, options: dict[str, Any]) -> MELData:
    mention, entity = (_load_side(folder, manifest[name]) for name in SIDES)
    arrays = {name: _load_array(folder, entry) for name, entry in manifest['candidates'].items()}
    weight = {RELATIONS[name.removeprefix('weight_')]: arrays.pop(name) for name in list(arrays)
              if name.startswith('weight_')}
    check_files(folder, manifest, REMEDY)
    tables, candidates = pair_tables(mention, entity), Candidates(**arrays, weight=weight)
    if 'rows' not in manifest:
        split = {name: torch.tensor(rows, dtype=torch.long) for name, rows in manifest['split'].items()}
        return MELData(tables, candidates, split, notes=manifest['notes'])
    for name, digest in manifest['rows'].items():
        path = folder / DATA / f'{name}.jsonl'
        if not path.is_file() or digest_file(path) != digest:
            raise ValueError(f"'{path}' is not the file that the tables were made from, so rows would belong to the "
                             f"wrong {name}; encode the data again")
    dataset = MELFolder(folder / DATA)
    preset = make_preset(manifest['preset'], how, **{**manifest['options'], **options})
    preset.specs.update(manifest['encoders'])
    if STATE in manifest.get('files', [STATE] if (folder / STATE).is_file() else ()):
        preset.load_state(load_file(folder / STATE))
    return MELData(tables, candidates, split_index(dataset.mentions), dataset.mentions, dataset.entities, preset,
                   manifest['notes'])


def check_tables(folder: str | Path) -> None:
    r"""Reads every file of encoded data and compares it with the digest of what was written; :func:`load_tables` leaves
    out pictures, and arrays of more than 256 MiB.

    Raises:
        FileNotFoundError: If the folder holds no (finished) tables, or a file is missing.
        ValueError: If a file is damaged, naming it.
    """
    load_tables(folder)
    folder, manifest = Path(folder), read_manifest(folder)
    check_files(folder, manifest, REMEDY, whole=True)
    if manifest.get('images', found := _digest_images(folder)) != found:
        raise ValueError(f"'{folder / DATA}' holds other pictures than were written; {REMEDY}")


def _digest_images(folder: Path) -> str:
    """Digest of the pictures that were cut out of others; the rest lies where it was."""
    return content_key(part for path in sorted((folder / DATA / 'images').glob('*'))
                       for part in (path.name, digest_file(path)))


def _check_rows(data: MELData) -> MELData:
    """The data, if its parts point at rows that are there."""
    mentions, entities, lists = data.tables.num_mentions, data.tables.num_entities, data.candidates
    gold = lists.entity if lists.gold is None else lists.gold
    if lists.num_mentions != mentions or (data.entities is not None and (len(data.mentions), len(data.entities))
                                          != (mentions, entities)):
        raise ValueError('features, records and candidates are not of as many mentions and entities')
    for name, rows, first, end in (('candidates', lists.entity, 0, entities), ('answers', gold, NIL, entities),
                                   *((f"rows of the split '{name}'", rows, 0, mentions)
                                     for name, rows in data.split.items())):
        if rows.numel() and not first <= int(rows.min()) <= int(rows.max()) < end:
            raise ValueError(f"the {name} point at row {int(rows.min())} or {int(rows.max())}, but there are {end}")
    for edge_type in lists.weight:
        ends = (edge_type[0], lists.mention), (edge_type[2], lists.entity)
        if any(bool((data.tables.num_rows(node_type, owner) > 1).any()) for node_type, owner in ends):
            raise ValueError(f"the weights of '{edge_type[1]}' are one number a pair, but some have several images")
    return data


def _save_side(folder: Path, name: str, side: SideTables) -> dict[str, dict]:
    arrays = {'text': side.text, 'image': side.image, 'ptr': side.ptr,
              **{f'weight_{edge_type[1]}': side.weight[edge_type] for edge_type in EDGE_TYPES}}
    saved: dict[tuple, dict] = {}  # one tensor may serve twice: as features, and as a first weight
    entries = {}
    for role, x in arrays.items():
        same = (x.data_ptr(), x.shape, x.stride())
        if same not in saved or x.numel() == 0:
            saved[same] = _save_array(folder, f'{name}.{role}', x)
        entries[role] = saved[same]
    return entries


def _load_side(folder: Path, entries: dict[str, dict]) -> SideTables:
    files: dict[str, Tensor] = {}
    for entry in entries.values():
        if entry['file'] not in files:
            files[entry['file']] = _load_array(folder, entry)
    arrays = {role: files[entry['file']] for role, entry in entries.items()}
    weight = {edge_type: arrays.pop(f'weight_{edge_type[1]}') for edge_type in EDGE_TYPES}
    return SideTables(**arrays, weight=weight)


def _save_array(folder: Path, name: str, x: Tensor) -> dict[str, Any]:
    path = folder / f'{name}.npy'
    with open_atomic(path) as file:
        np.save(file, x.numpy(), allow_pickle=False)  # a mapped array is copied piece by piece
    return {'file': path.name, 'shape': list(x.shape), 'dtype': str(x.dtype).removeprefix('torch.')}


def _load_array(folder: Path, entry: dict[str, Any]) -> Tensor:
    path = own_file(folder, entry['file'])
    x = map_array(path)
    if list(x.shape) != entry['shape'] or str(x.dtype) != f"torch.{entry['dtype']}":
        raise ValueError(f"'{path}' holds {x.dtype} {list(x.shape)}, but the tables were made with {entry['dtype']} "
                         f"{entry['shape']}; encode the data again")
    return x
