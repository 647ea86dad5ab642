r"""The files that make a folder a training run: what to train again, evaluate or link with."""

import csv
import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from drin_pyg.datasets.open_dataset import is_packaged
from drin_pyg.evaluation import append_gold
from drin_pyg.features import MELData
from drin_pyg.features.tables_folder import read_manifest
from drin_pyg.files import check_files, claim, fingerprint, read_record, to_json, write_record
from drin_pyg.graph.loader import Transform
from drin_pyg.nn import DRIN
from drin_pyg.training.checkpoint_file import read_checkpoint
from drin_pyg.training.data import load_data
from drin_pyg.training.data_module import CandidateDataModule
from drin_pyg.training.fit import FitResult, first_process, fit
from drin_pyg.training.recipe import Recipe

FORMAT = 1
RUN, RECIPE = 'run.json', 'recipe.yaml'  # written last
REQUEST = 'request.json'  # written first: what a run that was killed was to become
CHANGED = 'it is damaged or was changed by hand; copy the run again, or train again'
CURVE, CHECKPOINT = 'metrics.csv', 'checkpoints/last.ckpt'


def train_run(
    data: MELData,
    source: str | Path,
    recipe: Recipe,
    folder: str | Path,
    *,
    seed: int = 0,
    resume: bool = False,
    progress: bool = True,
    accelerator: str = 'auto',
    finish: Callable[[DRIN], object] | None = None,
) -> FitResult:
    r"""Trains a model on a data set and writes all that :func:`load_run` needs.

    Killed at any point and called again, it goes on after the last whole epoch and ends, on a CPU, with the same bytes.

    Args:
        data: The data.
        source: Where it came from; see :func:`load_data`.
        recipe: The model and how it is trained.
        folder: Where the run is written.
        seed: Seed of parameters, order and dropout.
        resume: Whether to go on with a finished run, too, to more epochs; and with one that other versions began,
            whose end may differ then.
        progress: As in :func:`fit`, as is ``accelerator``.
        finish: What is still to be done with the trained model before the run counts as finished.

    Raises:
        FileExistsError: If ``folder`` holds a finished run and ``resume`` is False.
        BlockingIOError: If another process trains there.
        ValueError: If the run in ``folder`` has other settings, naming one; if there are no mentions to train on or
            to validate with.
    """
    for name in ('train', 'val'):
        if name not in data.split:
            raise ValueError(f"There are no answered mentions of the split '{name}', but training needs some; there "
                             f"are {', '.join(data.split) or 'none at all'}")
    folder = Path(folder)
    first = first_process()
    with claim(folder, inside=('checkpoints', 'model')) if first else nullcontext():
        if first:
            _begin(folder, {**_describe(source), 'seed': seed, 'recipe': asdict(recipe),
                            'versions': {name: version(name) for name in ('drin_pyg', 'torch')}}, resume)
        model = recipe.build(data.tables, data.candidates, data.split['train'], seed)
        module = data_module(data, recipe, seed)
        result = fit(model, module, folder, loss=recipe.loss, lr=recipe.lr, max_epochs=recipe.max_epochs,
                     patience=recipe.patience, seed=seed, resume=True, progress=progress, accelerator=accelerator)
        if first:
            if finish is not None:
                finish(result.model)
            save_run(folder, recipe, source)
    return result


def _begin(folder: Path, request: dict[str, Any], resume: bool) -> None:
    """Writes what is asked for, or checks that the run in the folder was asked for the same."""
    path, request = folder / REQUEST, json.loads(to_json(request))  # as it comes back: a tuple is a list
    if not path.is_file():
        if not resume and ((folder / RUN).exists() or (folder / CHECKPOINT).exists()):
            raise FileExistsError(f"'{folder}' already holds a training run; resume it or name another folder")
    else:
        known = _read_request(path)
        recipe = request['recipe']
        differs = {f'recipe.{name}': (known['recipe'].get(name), recipe.get(name))
                   for name in {**known['recipe'], **recipe} if known['recipe'].get(name) != recipe.get(name)}
        differs |= {name: (known.get(name), request.get(name)) for name in {**known, **request}
                    if name != 'recipe' and known.get(name) != request.get(name)}
        remedy = 'name another folder, or remove this one'
        if not resume and differs.keys() <= {'recipe.max_epochs', 'versions'}:
            remedy += ', or resume the run (--resume)'
        for name, (was, now) in differs.items():
            if not (resume and name in ('recipe.max_epochs', 'versions')):
                raise ValueError(f"'{folder}' already holds a training run with other settings: '{name}' was {was!r} "
                                 f"and is {now!r}; {remedy}")
        if (was := known['recipe'].get('max_epochs', 0)) > recipe['max_epochs']:
            raise ValueError(f"'{folder}' holds a training run of {was} epochs, which cannot go on to "
                             f"{recipe['max_epochs']}; {remedy}")
        if not resume and (folder / RUN).exists():
            raise FileExistsError(f"'{folder}' already holds a training run, which is finished; resume it (--resume) "
                                  f"to more epochs, or name another folder")
        if not differs:
            return
    (folder / RUN).unlink(missing_ok=True)  # not finished any more
    write_record(path, request)


def _read_request(path: Path) -> dict[str, Any]:
    try:
        request = read_record(path, FORMAT)
        if not isinstance(request['recipe'], dict) or type(request['recipe'].get('max_epochs')) is not int:
            raise ValueError('it names no recipe')
    except (ValueError, KeyError) as error:
        raise ValueError(f"'{path}' cannot be read: {error}; train again, in another folder") from error
    return request


def _describe(source: str | Path) -> dict[str, Any]:
    """The data of a run, so that others are known from it."""
    if is_packaged(source):
        return {'format': FORMAT, 'data': str(source)}
    return {'format': FORMAT, 'data': str(Path(source).resolve()), 'tables': read_manifest(source)['key']}


def data_module(
    data: MELData,
    recipe: Recipe,
    seed: int = 0,
    gold_appended: bool | None = None,
    transform: Transform | None = None,
) -> CandidateDataModule:
    r"""The graphs that a recipe asks for.

    Args:
        data: The data.
        recipe: The recipe.
        seed: Seed of the order of training mentions.
        gold_appended: Whether graphs hold the appended answers; None for what the recipe says.
        transform: Applied to every batch.
    """
    leak = recipe.gold_appended if gold_appended is None else gold_appended
    return CandidateDataModule(data.tables, data.candidates, data.split, max_pairs=recipe.max_pairs,
                               context=recipe.context, seed=seed, transform=transform,
                               appended=append_gold(data) if leak else None, swap_images=recipe.swap_images)


def save_run(folder: Path, recipe: Recipe, source: str | Path) -> None:
    r"""Writes ``recipe.yaml`` and ``run.json`` beside a trained model.

    Args:
        folder: The run's folder.
        recipe: How the model was trained.
        source: Source of the data; see :func:`load_data`.
    """
    recipe.save(folder / RECIPE)
    files = [name for name in (RECIPE, CURVE) if (folder / name).is_file()]
    write_record(folder / RUN, {**_describe(source), 'files': {name: fingerprint(folder / name) for name in files}})


def load_run(
    folder: str | Path,
    source: str | Path | None = None,
    progress: bool = False,
) -> tuple[Recipe, DRIN, MELData]:
    r"""Recipe, model and data of a run.

    Args:
        folder: The run's folder.
        source: Other data than the run's own; see :func:`load_data`.
        progress: Whether to show progress bars.

    Raises:
        FileNotFoundError: If the folder is no training run, or its data is gone.
        ValueError: If the data is not that of the run any more, or of other widths.
    """
    folder = Path(folder)
    recipe, own, key = _read_run(folder)
    model = DRIN.from_pretrained(folder / 'model')
    if source is None and key is not None and read_manifest(own)['key'] != key:
        raise ValueError(f"'{own}' holds other tables than those the run '{folder}' was trained on; name the data to "
                         f"use instead, if that is meant")
    return recipe, model, load_data(own if source is None else source, progress)


def _read_run(folder: Path) -> tuple[Recipe, str, str | None]:
    """Recipe, source of the data, and key of the tables."""
    if (folder / REQUEST).is_file() and not (folder / RUN).is_file():
        raise FileNotFoundError(f"'{folder}' holds a training run that is not finished ('{RUN}' is missing); the "
                                f"command that began it goes on with it")
    for name in (RUN, RECIPE):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"'{folder}' is no training run: '{name}' is missing")
    try:
        run = read_record(folder / RUN, FORMAT)
        own, key = run['data'], run.get('tables')
        if not isinstance(own, str) or '\0' in own:
            raise ValueError(f"'data' is {own!r:.60}")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"'{folder / RUN}' cannot be read: {str(error)[:1000]}; train again") from error
    check_files(folder, run, CHANGED, names=(RECIPE, ))
    return Recipe.load(folder / RECIPE), own, key


def check_run(folder: str | Path) -> None:
    r"""Reads every file of a finished run, its checkpoints too, and compares it with the digest of what was written.

    Raises:
        FileNotFoundError: If the folder is no finished run, or a file is missing.
        ValueError: If a file is damaged, naming it.
    """
    folder = Path(folder)
    _read_run(folder)
    check_files(folder, read_record(folder / RUN), CHANGED, whole=True, names=(RECIPE, CURVE))
    DRIN.from_pretrained(folder / 'model')
    if (folder / REQUEST).is_file():
        _read_request(folder / REQUEST)
    for path in sorted((folder / 'checkpoints').glob('*.ckpt')):
        read_checkpoint(path)


def read_curve(folder: str | Path) -> list[dict[str, float]]:
    r"""Training curve of a run: one record per epoch with what Lightning logged.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a line of the file is not such a record.
    """
    epochs: dict[int, dict[str, float]] = {}
    path = Path(folder) / CURVE
    try:
        with open(path, newline='', encoding='utf-8') as file:
            for row in csv.DictReader(file):
                record = epochs.setdefault(int(row['epoch']), {'epoch': int(row['epoch']) + 1})
                record.update({key: float(value) for key, value in row.items()
                               if value and key not in ('epoch', 'step')})
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise ValueError(f"'{path}' is no training curve: {str(error)[:200]}") from error
    return [epochs[epoch] for epoch in sorted(epochs)]
