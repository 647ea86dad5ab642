import inspect
import json
import os
import platform
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from drin_pyg.datasets.open_dataset import is_packaged
from drin_pyg.experiments.run_variant import RESULT, run_variant
from drin_pyg.experiments.start_worker import start_worker
from drin_pyg.experiments.studies import EMOJI_ONLY, make_study
from drin_pyg.experiments.table import StudyTable, read_result
from drin_pyg.experiments.variant import DRIN, Study, Variant
from drin_pyg.experiments.write_study import write_study
from drin_pyg.features.tables_folder import read_manifest
from drin_pyg.files import LOCK, claim, content_key, read_record, to_json, write_record
from drin_pyg.nn import DRIN as Model
from drin_pyg.training import EMOJI, Recipe

SETTINGS, RUNS = 'settings.json', 'runs'
FORMAT = 1
DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(Model).parameters.items()}


def ablate(
    source: str | Path,
    out: str | Path,
    studies: list[str],
    base: Recipe,
    *,
    variants: list[str] | None = None,
    seeds: int = 3,
    workers: int = 2,
    quick: bool = False,
    progress: bool = True,
) -> list[StudyTable]:
    r"""Runs studies, several seeds of each variant, and writes their tables and figures.

    Every run is written to ``out/runs`` as it ends, under a name made from what it does. Called again with the same
    arguments, what is there is not run again; so a study can be stopped at any time, and two studies share the runs
    they have in common. A run that fails stops everything; what was done before is kept.

    Args:
        source: The data; see :func:`~drin_pyg.training.load_data`.
        out: Results folder.
        studies: Names of :data:`~drin_pyg.experiments.STUDIES`.
        base: The recipe that the variants change.
        variants: Names of the variants to run beside each study's base; None for all.
        seeds: Seeds of each variant, 0 to ``seeds - 1``.
        workers: Processes that train side by side, one core each.
        quick: One epoch of everything: a check that it works, not a result.
        progress: Whether to show a progress bar.

    Returns:
        A table of each study.

    Raises:
        FileNotFoundError: If the data is no folder of tables.
        ValueError: If a study or variant does not exist, or does not fit the data, or the folder holds other results.
    """
    out, source = Path(out), str(source)
    if seeds < 1:
        raise ValueError(f"At least one seed is needed, got {seeds}")
    base = base.changed({'max_epochs': 1}) if quick else base
    chosen = _choose([make_study(name, base) for name in studies], variants)
    for study in chosen:
        if study.name in EMOJI_ONLY and source != EMOJI:
            raise ValueError(f"The study '{study.name}' needs the pictures of three vendors that '{EMOJI}' has")
    if quick:
        chosen = [replace(study, variants=tuple(variant.changed(variant.name, recipe={'max_epochs': 1})
                                                for variant in study.variants)) for study in chosen]
    _settle(out, source, base)
    jobs = {run_folder(out, variant, seed): (variant, seed) for study in chosen for variant in study.variants
            for seed in range(seeds)}
    # A lock is of another process, to be waited for, or of one that was killed just before it was done.
    todo = {folder: job for folder, job in jobs.items() if not (folder / RESULT).is_file() or (folder / LOCK).exists()}
    with ProcessPoolExecutor(workers, mp_context=get_context('spawn'), initializer=start_worker) as pool:
        futures = {pool.submit(run_variant, *job, source, folder): job for folder, job in todo.items()}
        bar = tqdm(as_completed(futures), 'Runs', total=len(futures), disable=not progress)
        try:
            for future in bar:
                future.result()
                bar.set_postfix_str(futures[future][0].name)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    tables = []
    for study in chosen:
        folders = {variant.name: [run_folder(out, variant, seed) for seed in range(seeds)]
                   for variant in study.variants}
        tables.append(StudyTable.read(study, folders))
        with claim(out, wait=True):  # a second process with another study removes leftovers when it starts
            write_study(tables[-1], out)
    return tables


def check_results(out: str | Path) -> None:
    r"""Reads what every run of a results folder wrote, and compares it with the digests.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged, naming it.
    """
    _read_settings(Path(out) / SETTINGS)
    for path in sorted((Path(out) / RUNS).glob(f'*/*/{RESULT}')):
        read_result(path.parent)


def _choose(studies: list[Study], names: list[str] | None) -> list[Study]:
    if names is None:
        return studies
    known = {variant.name for study in studies for variant in study.variants}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"There is no variant '{unknown[0]}' in {', '.join(study.name for study in studies)}; there "
                         f"are {', '.join(sorted(known))}")
    return [replace(study, variants=tuple(v for v in study.variants if v.name in (study.base, *names)))
            for study in studies]


def run_folder(out: Path, variant: Variant, seed: int) -> Path:
    r"""Where a run is written: by what it does, whatever a study calls it."""
    what = {name: value for name, value in variant.to_dict().items() if name != 'name'}
    if variant.scorer == DRIN and not variant.recipe.published:  # to say what is the default anyway changes nothing
        model = variant.recipe.model
        what['recipe']['model'] = {name: value for name, value in model.items() if value != DEFAULTS.get(name)}
    return out / RUNS / content_key([to_json(what)])[:16] / f'seed{seed}'


def _settle(out: Path, source: str, base: Recipe) -> None:
    """Writes what the folder is about, or checks that it is about the same."""
    settings = {'format': FORMAT, 'data': source, 'recipe': asdict(base)}
    if not is_packaged(source):  # other tables in the same folder are other data
        settings |= {'data': str(Path(source).resolve()), 'tables': read_manifest(source)['key']}
    path = out / SETTINGS
    with claim(out, wait=True):
        if not path.is_file():
            if any(path.name != LOCK for path in out.iterdir()):
                raise ValueError(f"'{out}' holds something else than results of experiments; name another folder")
            write_record(path, {**settings, 'machine': _machine()})
    found = _read_settings(path)
    settings = json.loads(to_json(settings))  # as it comes back: a tuple is a list
    different = [name for name in settings if found.get(name) != settings[name]]
    if different:
        raise ValueError(f"'{out}' holds results with different {' and '.join(different)} ('{path}'); name another "
                         f"folder, or remove it")


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        return read_record(path, FORMAT)
    except ValueError as error:
        raise ValueError(f"'{path}' cannot be read: {error}; name another folder for the results") from error


def _machine() -> dict[str, str]:
    import torch
    import torch_geometric

    return {'torch': torch.__version__, 'torch_geometric': torch_geometric.__version__,
            'python': platform.python_version(), 'processor': f'{platform.machine()}, {os.cpu_count()} cores'}
