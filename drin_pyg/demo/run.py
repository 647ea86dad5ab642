r"""The main job: train DRIN on EmojiMEL, compare it with what it must beat, write a report."""

import os
import platform
import shutil
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from drin_pyg.baselines import LogisticFusion, relation_scores, z_score
from drin_pyg.demo.examples import edge_weights, examples
from drin_pyg.demo.results import Results, System
from drin_pyg.evaluation import gold_ranks, paired_test
from drin_pyg.experiments.start_worker import start_worker
from drin_pyg.features import MELData
from drin_pyg.linking import calibrate
from drin_pyg.nn import DRIN
from drin_pyg.training import EMOJI, Recipe, data_module, load_data, predict, read_curve, train_run
from drin_pyg.vocabulary import EDGE_TYPES, IMAGE_IMAGE, RELATIONS, TEXT_TEXT

BEST, FUSION = 'DRIN, best', 'late fusion'


@dataclass(frozen=True)
class Job:
    r"""One training run of the demo."""

    name: str
    group: str
    recipe: Recipe
    seed: int


@dataclass(frozen=True)
class Outcome:
    r"""What a run came to: ranks of the test answers, validation top-1 and MRR, seconds."""

    job: Job
    rank: np.ndarray
    val_top1: float
    val_mrr: float
    seconds: float


def plan(seeds: int, quick: bool) -> list[Job]:
    r"""All training runs, the longest first, so that two workers finish together.

    Args:
        seeds: Seeds of the best model; everything else runs with seed 0.
        quick: One epoch of everything: a check that the job works, not a result.
    """
    published = [Job(f'DRIN published, {context} context', 'published', Recipe.paper(context, patience=2), 0)
                 for context in ('pair', 'mention')]
    best = [Job(BEST, 'best', Recipe(), seed) for seed in range(seeds)]
    ablations = [Job('best, static edges', 'ablation', Recipe(model={'dynamic': False}), 0)]
    ablations += [
        Job(f'best, without {name}', 'ablation', Recipe(model={'relations': [r for r in RELATIONS if r != name]}), 0)
        for name in RELATIONS
    ]
    jobs = [*published, *best, *ablations]
    return [replace(job, recipe=replace(job.recipe, max_epochs=1)) for job in jobs] if quick else jobs


def run_demo(folder: Path, *, seeds: int = 5, quick: bool = False, workers: int = 2, progress: bool = True) -> Results:
    r"""Runs everything and returns what was found; the best model of seed 0 is kept in ``folder/best``.

    Args:
        folder: Where models go; what an earlier demo left in ``folder/runs`` and ``folder/best`` is replaced.
        seeds: Seeds of the best model.
        quick: One epoch of everything.
        workers: Processes that train side by side, one core each.
        progress: Whether to show progress bars.
    """
    start = time.perf_counter()
    data = load_data(EMOJI, progress)
    test = data.split['test']
    systems = baselines(data)
    # The stronger one on the test mentions: the harder comparison.
    fusion = max((system for system in systems if system.name.startswith(FUSION)), key=lambda system: system.top1)

    shutil.rmtree(folder / 'runs', ignore_errors=True)
    jobs = plan(seeds, quick)
    outcomes: list[Outcome] = []
    with ProcessPoolExecutor(workers, mp_context=get_context('spawn'), initializer=start_worker) as pool:
        futures = [pool.submit(run_job, job, _folder(folder, job)) for job in jobs]
        bar = tqdm(as_completed(futures), 'Training runs', total=len(jobs), disable=not progress)
        for future in bar:
            outcomes.append(future.result())
            bar.set_postfix_str(outcomes[-1].job.name)
    outcomes.sort(key=lambda outcome: jobs.index(outcome.job))
    for name in dict.fromkeys(job.name for job in jobs):
        runs = [outcome for outcome in outcomes if outcome.job.name == name]
        rank = np.stack([run.rank for run in runs])
        hit = (rank <= 1).astype(float)
        systems.append(System(
            name, runs[0].job.group, hit, 1 / rank, float(np.mean([run.val_top1 for run in runs])),
            sum(run.seconds for run in runs), paired_test(hit.mean(0), fusion.hit.mean(0))))

    best_run = _folder(folder, next(job for job in jobs if job.name == BEST))
    shutil.rmtree(folder / 'best', ignore_errors=True)
    shutil.copytree(best_run, folder / 'best')
    model = DRIN.from_pretrained(folder / 'best' / 'model')
    calibrate(model, data, Recipe(), folder / 'best')
    return Results(
        systems=systems,
        curve=read_curve(best_run),
        edge_weights=edge_weights(model, data, test),
        examples=examples(model, data, test),
        num_mentions=test.numel(),
        num_entities=len(data.entities),
        settings=_settings(data, seeds, quick, fusion.name),
        seconds=time.perf_counter() - start,
    )


def baselines(data: MELData) -> list[System]:
    r"""Random, single cosines and late fusion, on the first weights that DRIN starts from."""
    systems = []
    features, lists = {}, {}
    for split, mention in data.split.items():
        lists[split] = data.candidates.select(mention)
        features[split] = z_score(relation_scores(data.tables, data.candidates, mention), lists[split])
    chance = (1 / lists['test'].counts.double()).numpy()
    harmonic = np.array([np.mean(1 / np.arange(1, n + 1)) for n in lists['test'].counts.tolist()])
    systems.append(System('random', 'baseline', chance[None], harmonic[None], float(1 / lists['val'].counts[0])))

    logistic = LogisticFusion().fit(features['train'], lists['train'])
    scorers = {
        'text-text cosine': lambda x: x[:, EDGE_TYPES.index(TEXT_TEXT)],
        'image-image cosine': lambda x: x[:, EDGE_TYPES.index(IMAGE_IMAGE)],
        f'{FUSION}, sum': lambda x: x.sum(-1),
        f'{FUSION}, logistic': logistic,
    }
    for name, scorer in scorers.items():
        rank = gold_ranks(scorer(features['test']), lists['test']).numpy()[None]
        val = gold_ranks(scorer(features['val']), lists['val'])
        systems.append(System(name, 'baseline', (rank <= 1).astype(float), 1 / rank, float((val <= 1).double().mean())))
    return systems


@lru_cache(maxsize=1)
def _data() -> MELData:
    """A worker's own copy, read once (features come from the cache)."""
    return load_data(EMOJI)


def run_job(job: Job, folder: Path) -> Outcome:
    r"""Trains one run in a worker process."""
    data, recipe = _data(), job.recipe
    result = train_run(data, EMOJI, recipe, folder, seed=job.seed, progress=False, accelerator='cpu')
    module = data_module(data, recipe)
    rank = {
        split: gold_ranks(predict(result.model, module, split), module.lists(split)).numpy()
        for split in ('val', 'test')
    }
    return Outcome(job, rank['test'], float((rank['val'] <= 1).mean()), float((1 / rank['val']).mean()),
                   result.seconds)


def _folder(folder: Path, job: Job) -> Path:
    return folder / 'runs' / f"{job.name.replace(', ', '-').replace(' ', '_')}-seed{job.seed}"


def _settings(data: MELData, seeds: int, quick: bool, fusion: str) -> dict[str, str]:
    import lightning
    import torch_geometric

    best, paper = Recipe(), Recipe.paper()
    model = DRIN(**best.model)
    epochs = (1, 1) if quick else (best.max_epochs, paper.max_epochs)
    return {
        'Data': f'EmojiMEL: {", ".join(f"{name} {len(m):,}" for name, m in data.split.items())} mentions, split by '
                f'entity; 32 candidates each; {len(data.entities):,} entities',
        'Selection': 'best epoch by validation MRR; test mentions are scored once per run',
        'DRIN, best': f'width {model.hidden_channels}, {model.num_layers} layer, softmax loss, Adam {best.lr:g}, up to '
                      f'{epochs[0]} epochs, seeds 0 to {seeds - 1}; ablations with seed 0',
        'DRIN published': f'width 768, 2 layers, margin loss, Adam {paper.lr:g}, 64 mentions a batch; up to '
                          f'{epochs[1]} epochs, stopped after 2 without a better validation MRR; seed 0',
        'Compared with': f'{fusion}, the stronger late fusion on these test mentions',
        'Ties': 'count against the system (pessimistic rank)',
        'Versions': f'torch {torch.__version__}, torch_geometric {torch_geometric.__version__}, lightning '
                    f'{lightning.__version__}, Python {platform.python_version()}',
        'Machine': f'{platform.machine()}, {os.cpu_count()} cores',
    }
