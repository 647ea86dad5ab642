r"""The files that make a folder a training run: what to train again, evaluate or link with."""

import csv
import json
from pathlib import Path

from drin_pyg.files import write_atomic
from drin_pyg.training.recipe import Recipe


def save_run(folder: Path, recipe: Recipe, data: str) -> None:
    r"""Writes ``recipe.json`` and ``run.json`` beside a trained model.

    Args:
        folder: The run's folder.
        recipe: How the model was trained.
        data: Source of the data; see :func:`load_data`.
    """
    recipe.save(folder / 'recipe.json')
    write_atomic(folder / 'run.json', json.dumps({'format': 1, 'data': data}, indent=2).encode() + b'\n')


def read_run(folder: str | Path) -> tuple[Recipe, str]:
    r"""Recipe and data source of a run.

    Raises:
        FileNotFoundError: If the folder is no training run.
    """
    folder = Path(folder)
    for name in ('run.json', 'recipe.json'):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"'{folder}' is no training run: '{name}' is missing")
    run = json.loads((folder / 'run.json').read_text(encoding='utf-8'))
    return Recipe.load(folder / 'recipe.json'), run['data']


def read_curve(folder: str | Path) -> list[dict[str, float]]:
    r"""Training curve of a run: one record per epoch with what Lightning logged."""
    epochs: dict[int, dict[str, float]] = {}
    with open(Path(folder) / 'metrics.csv', newline='', encoding='utf-8') as file:
        for row in csv.DictReader(file):
            record = epochs.setdefault(int(row['epoch']), {'epoch': int(row['epoch']) + 1})
            record.update({key: float(value) for key, value in row.items() if value and key not in ('epoch', 'step')})
    return [epochs[epoch] for epoch in sorted(epochs)]
