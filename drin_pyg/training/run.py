r"""The files that make a folder a training run: what to train again, evaluate or link with."""

import csv
import json
from pathlib import Path

from drin_pyg.datasets.open_dataset import is_packaged
from drin_pyg.evaluation import append_gold
from drin_pyg.features import MELData
from drin_pyg.features.tables_folder import read_manifest
from drin_pyg.files import write_atomic
from drin_pyg.graph.loader import Transform
from drin_pyg.nn import DRIN
from drin_pyg.training.data import load_data
from drin_pyg.training.data_module import CandidateDataModule
from drin_pyg.training.fit import FitResult, first_process, fit
from drin_pyg.training.recipe import Recipe

FORMAT = 1
RUN, RECIPE = 'run.json', 'recipe.yaml'


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
) -> FitResult:
    r"""Trains a model on a data set and writes all that :func:`load_run` needs.

    Args:
        data: The data.
        source: Where it came from; see :func:`load_data`.
        recipe: The model and how it is trained.
        folder: Where the run is written.
        seed: Seed of parameters, order and dropout.
        resume: As in :func:`fit`, as are the others.

    Raises:
        FileExistsError: If ``folder`` holds a run and ``resume`` is False.
        ValueError: If there are no mentions to train on or to validate with.
    """
    for name in ('train', 'val'):
        if name not in data.split:
            raise ValueError(f"There are no answered mentions of the split '{name}', but training needs some; there "
                             f"are {', '.join(data.split) or 'none at all'}")
    folder = Path(folder)
    model = recipe.build(data.tables, data.candidates, data.split['train'], seed)
    module = data_module(data, recipe, seed)
    result = fit(model, module, folder, loss=recipe.loss, lr=recipe.lr, max_epochs=recipe.max_epochs,
                 patience=recipe.patience, seed=seed, resume=resume, progress=progress, accelerator=accelerator)
    if first_process():
        save_run(folder, recipe, source)
    return result


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
    run = {'format': FORMAT, 'data': str(source)}
    if not is_packaged(source):
        run |= {'data': str(Path(source).resolve()), 'tables': read_manifest(source)['key']}
    write_atomic(folder / RUN, json.dumps(run, indent=2).encode() + b'\n')


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
    for name in (RUN, RECIPE):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"'{folder}' is no training run: '{name}' is missing")
    recipe = Recipe.load(folder / RECIPE)
    try:
        run = json.loads((folder / RUN).read_text(encoding='utf-8'))
        own, key = run['data'], run.get('tables')
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"'{folder / RUN}' is damaged: {error}") from error
    model = DRIN.from_pretrained(folder / 'model')
    if source is None and key is not None and read_manifest(own)['key'] != key:
        raise ValueError(f"'{own}' holds other tables than those the run '{folder}' was trained on; name the data to "
                         f"use instead, if that is meant")
    return recipe, model, load_data(own if source is None else source, progress)


def read_curve(folder: str | Path) -> list[dict[str, float]]:
    r"""Training curve of a run: one record per epoch with what Lightning logged."""
    epochs: dict[int, dict[str, float]] = {}
    with open(Path(folder) / 'metrics.csv', newline='', encoding='utf-8') as file:
        for row in csv.DictReader(file):
            record = epochs.setdefault(int(row['epoch']), {'epoch': int(row['epoch']) + 1})
            record.update({key: float(value) for key, value in row.items() if value and key not in ('epoch', 'step')})
    return [epochs[epoch] for epoch in sorted(epochs)]
