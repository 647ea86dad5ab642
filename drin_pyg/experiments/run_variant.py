import shutil
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from drin_pyg.baselines import (
    MELHI,
    AddSequences,
    LogisticFusion,
    build_baseline,
    needs_sequences,
    relation_scores,
    z_score,
)
from drin_pyg.evaluation import gold_ranks
from drin_pyg.experiments.extra_graph import ExtraGraph
from drin_pyg.experiments.variant import DRIN, Variant
from drin_pyg.features import MELData, swap_images
from drin_pyg.files import claim, fingerprint, write_atomic, write_record
from drin_pyg.training import data_module, fit, load_data, predict, warm_start

RESULT, RANKS = 'result.json', 'ranks.safetensors'
WORK = 'work'  # the training, until it is done
TEST, VAL, APPENDED = 'test', 'val', 'test, answer appended'
FUSIONS = ('late_fusion_sum', 'late_fusion_logistic')


def condition(swapped: float) -> str:
    r"""What a test on partly swapped images is called."""
    return f'{TEST}, {swapped:.0%} swapped' if swapped else TEST


def run_variant(variant: Variant, seed: int, source: str, folder: Path) -> None:
    r"""Trains and tests a variant, and writes the ranks of the answers.

    Writes ``ranks.safetensors`` (condition to float64 ``[M]``, infinite where the answer was not retrieved; the rank
    of the published protocol has ties in favour) and then ``result.json``, whose being there says that the run is done.
    A second process with the same run waits and finds it; a run that was killed goes on after its last whole epoch.

    Args:
        variant: What to run.
        seed: Seed of parameters, order, dropout and swapped images.
        source: The study's data; see :func:`~drin_pyg.training.load_data`.
        folder: Where to write.
    """
    with claim(folder, wait=True):
        if not (folder / RESULT).is_file():
            _run_variant(variant, seed, source, folder)
        shutil.rmtree(folder / WORK, ignore_errors=True)  # last: without it, a killed process trains all over again


def _run_variant(variant: Variant, seed: int, source: str, folder: Path) -> None:
    from safetensors.torch import save

    variant = replace(variant, source=variant.source or source)
    data = _data(variant.source)
    start = time.perf_counter()
    swapped = {share: _swap(data, share, seed) for share in variant.test_swapped}
    data = _swap_training(data, swapped.get(0.0, data), variant.swapped, seed)
    if variant.scorer in FUSIONS:
        score, facts = _fusion(variant.scorer, data), {}
    else:
        score, facts = _train(variant, data, seed, folder / WORK)
    ranks = {VAL: _ranks(score(data, VAL), data, VAL)}
    ranks |= {condition(share): _ranks(score(tested, TEST), tested, TEST) for share, tested in swapped.items()}
    if variant.gold_appended:
        ranks[APPENDED] = _ranks(score(data, TEST, True), data, TEST, 'optimistic')
    facts |= {'seconds': time.perf_counter() - start, 'variant': variant.to_dict(), 'seed': seed}
    write_atomic(folder / RANKS, save(ranks))
    write_record(folder / RESULT, {**facts, 'files': {RANKS: fingerprint(folder / RANKS)}})


@lru_cache(maxsize=2)
def _data(source: str) -> MELData:
    """A worker's own copy, read once."""
    return load_data(source)


@lru_cache(maxsize=1)
def _sequences(source: str) -> AddSequences:
    data = _data(source)
    if data.preset is None:
        raise ValueError("This data came as features alone; a model of tokens and regions has nothing to read")
    return AddSequences(*data.preset.sequences(data.mentions))


def _swap(data: MELData, share: float, seed: int) -> MELData:
    """Data whose test mentions have, in part, the images of others."""
    if not share:
        return data
    return replace(data, tables=swap_images(data.tables, data.candidates, data.split[TEST], share, seed))


def _swap_training(data: MELData, tested: MELData, share: float, seed: int) -> MELData:
    """The same for training and validation mentions."""
    tables = tested.tables
    for name in ('train', VAL) if share else ():
        tables = swap_images(tables, data.candidates, data.split[name], share, seed)
    return replace(data, tables=tables)


def _train(variant: Variant, data: MELData, seed: int, folder: Path):
    """A function that scores a split of any data, and what is to be told of the training."""
    recipe = variant.recipe
    model, transform = _build(variant, data, seed)
    result = fit(model, data_module(data, recipe, seed, transform=transform), folder, loss=recipe.loss, lr=recipe.lr,
                 max_epochs=recipe.max_epochs, patience=recipe.patience, seed=seed, resume=True, progress=False,
                 accelerator='cpu')
    facts = {'epochs': result.epochs, 'training_seconds': result.seconds,
             'parameters': sum(p.numel() for p in result.model.parameters())}

    def score(of: MELData, name: str, appended: bool = False) -> Tensor:
        return predict(result.model, data_module(of, recipe, seed, appended, transform), name)

    return score, facts


def _build(variant: Variant, data: MELData, seed: int):
    """The untrained model, and the transform that its batches need."""
    recipe, train = variant.recipe, data.split['train']
    if variant.extra:
        graph = ExtraGraph(variant.extra, data)
        return graph.build(recipe, seed), graph.transform
    if variant.scorer == DRIN:
        return recipe.build(data.tables, data.candidates, train, seed), None
    torch.manual_seed(seed)
    model = build_baseline(variant.scorer, **variant.recipe.model)
    if recipe.warm_start:
        warm_start(model, data.tables, data.candidates, train)
    if isinstance(model, MELHI):
        model.start_images(data.tables)
    return model, _sequences(variant.source) if needs_sequences(variant.scorer) else None


def _fusion(name: str, data: MELData):
    """A function that scores a split of any data by late fusion."""
    def features(of: MELData, split: str) -> Tensor:
        mention = of.split[split]
        return z_score(relation_scores(of.tables, of.candidates, mention), of.candidates.select(mention))

    if name == 'late_fusion_sum':
        return lambda of, split: features(of, split).sum(-1)
    fusion = LogisticFusion().fit(features(data, 'train'), data.candidates.select(data.split['train']))
    return lambda of, split: fusion(features(of, split))


def _ranks(scores: Tensor, data: MELData, split: str, tie: str = 'pessimistic') -> Tensor:
    return gold_ranks(scores, data.candidates.select(data.split[split]), tie)
