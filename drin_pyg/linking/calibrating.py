from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.utils import cumsum

from drin_pyg.features import Candidates, MELData
from drin_pyg.linking.calibration import FILE, Calibration, decision_figures
from drin_pyg.linking.model_key import model_key
from drin_pyg.nn import DRIN
from drin_pyg.training import CandidateDataModule, Recipe, predict

NIL_SHARE = 0.1  # a smaller share of NIL mentions teaches too little, so it is made up to this


def calibrate(
    model: DRIN,
    data: MELData,
    recipe: Recipe,
    folder: str | Path,
    *,
    nil_share: float | None = None,
) -> Calibration:
    r"""Fits a :class:`Calibration` on the validation mentions and writes it beside the model.

    NIL mentions are those whose answer is not on their list. Where there are too few to learn from,
    some lists are scored again without their answer (:func:`take_out_answers`).

    Args:
        model: A trained model.
        data: The data it was trained on.
        recipe: How it was trained.
        folder: The folder of the run.
        nil_share: Share of NIL mentions to make up to, the one that is expected of mentions to come:
            where fewer are NIL, a confidence is too low. None takes the validation mentions as they
            are if a tenth of them are NIL at least, and makes it a tenth otherwise.

    Raises:
        ValueError: If there are too few validation mentions; an earlier calibration is removed all the same.
    """
    if nil_share is not None and not 0 < nil_share < 1:
        raise ValueError(f"'nil_share' must lie between 0 and 1, got {nil_share:g}")
    (Path(folder) / FILE).unlink(missing_ok=True)  # of another model
    scores, lists = _score(model, data, recipe, data.candidates, 'val')
    if nil_share is None:
        nil_share = max(1 - float(_is_listed(lists).double().mean()), NIL_SHARE)
    nil_scores, nil_lists = _score(model, data, recipe, _with_nil(data, 'val', nil_share), 'val')
    calibration = Calibration.fit(scores, lists, nil_scores, nil_lists, model_key(model))
    calibration.save(folder)
    return calibration


def load_calibration(folder: str | Path, model: DRIN) -> Calibration | None:
    r"""The calibration of a run, None if it has none; errors are those of :meth:`Calibration.load`."""
    return Calibration.load(folder, model_key(model)) if (Path(folder) / FILE).is_file() else None


def evaluate_calibration(
    calibration: Calibration,
    model: DRIN,
    data: MELData,
    recipe: Recipe,
    split: str,
) -> dict[str, float]:
    r""":func:`decision_figures` of a split, made up to the share of NIL mentions that the validation mentions had."""
    share = calibration.figures['nil'] / calibration.figures['mentions']
    scores, lists = _score(model, data, recipe, _with_nil(data, split, share), split)
    return decision_figures(calibration.confidence(scores, lists), calibration.threshold, scores, lists)


def take_out_answers(candidates: Candidates, mention: Tensor, number: int, seed: int = 0) -> Candidates:
    r"""The same lists, some of them without their answer.

    Args:
        candidates: Candidate lists, with ``gold``.
        mention: Mentions whose answer is listed, int64 ``[B]``.
        number: How many of them lose it; which ones depends on the seed alone.
        seed: The seed.
    """
    order = torch.randperm(mention.numel(), generator=torch.Generator().manual_seed(seed))
    chosen = torch.zeros(candidates.num_mentions, dtype=torch.bool)
    chosen[mention[order[:number]]] = True
    keep = ~(candidates.y & chosen[candidates.mention])
    counts = torch.bincount(candidates.mention[keep], minlength=candidates.num_mentions)
    return replace(candidates, ptr=cumsum(counts), entity=candidates.entity[keep],
                   weight={edge_type: weight[keep] for edge_type, weight in candidates.weight.items()})


def _with_nil(data: MELData, split: str, share: float) -> Candidates:
    """All lists; of the split's mentions, a share is NIL at least."""
    if split not in data.split:
        raise ValueError(f"There is no split '{split}'; there are {', '.join(data.split)}")
    mention = data.split[split]
    listed = _is_listed(data.candidates.select(mention))
    number = round(share * mention.numel()) - int((~listed).sum())
    return data.candidates if number <= 0 else take_out_answers(data.candidates, mention[listed], number)


def _is_listed(candidates: Candidates) -> Tensor:
    """Whether the answer of each mention is among its candidates, bool ``[M]``."""
    return torch.bincount(candidates.mention[candidates.y], minlength=candidates.num_mentions) > 0


def _score(model: DRIN, data: MELData, recipe: Recipe, candidates: Candidates, split: str) -> tuple[Tensor, Candidates]:
    module = CandidateDataModule(data.tables, candidates, data.split, max_pairs=recipe.max_pairs,
                                 context=recipe.context)
    return predict(model, module, split), candidates.select(data.split[split])
