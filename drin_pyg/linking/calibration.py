from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.utils import softmax

from drin_pyg.evaluation import calibration_error
from drin_pyg.features import Candidates
from drin_pyg.files import read_record, write_record
from drin_pyg.linking.list_features import first_is_right, list_features, padded

FORMAT = 1
FILE = 'calibration.json'
FOLDS = 5  # of the cross-validation; as many mentions of either kind are needed


@dataclass(frozen=True)
class Calibration:
    r"""What a model's scores mean: probabilities of the candidates, and whether a mention has no entity (NIL).

    * The **probability** of a candidate is :math:`\mathrm{softmax}(s / T)` over its list, with the
      temperature :math:`T` of the highest likelihood on validation mentions (`"On Calibration of
      Modern Neural Networks" <https://arxiv.org/abs/1706.04599>`_, Section 4.2), for logits and
      cosines alike. It takes for granted that the answer is on the list.
    * The **confidence** is the probability that the best candidate is right, NIL being possible: a
      logistic regression (:class:`sklearn.linear_model.LogisticRegression`) on standardised
      :func:`list_features`. A feature that is NaN counts as average; an empty list has confidence 0.
    * A mention is **NIL** if its confidence is below the **threshold**, the one with which most
      validation mentions are answered right: by the right entity, or by NIL.

    Args:
        temperature: :math:`T`.
        center: Mean of each feature.
        scale: Standard deviation of each feature.
        coefficient: Coefficient of each standardised feature.
        intercept: Intercept.
        threshold: Confidence below which a mention is NIL.
        model: Key of the model it was fitted for; see :func:`model_key`.
        figures: How well it does on validation mentions; see :meth:`fit`.
    """

    temperature: float
    center: list[float]
    scale: list[float]
    coefficient: list[float]
    intercept: float
    threshold: float
    model: str
    figures: dict[str, float]

    @classmethod
    def fit(
        cls,
        scores: Tensor,
        lists: Candidates,
        nil_scores: Tensor,
        nil_lists: Candidates,
        model: str,
    ) -> 'Calibration':
        r"""Fits temperature, regression and threshold.

        Args:
            scores: Scores ``[P]`` of validation mentions, for the temperature.
            lists: Their candidates.
            nil_scores: Scores of validation mentions of which some are NIL, for the decision.
            nil_lists: Their candidates; a mention is NIL if its answer is not among them.
            model: Key of the model.

        Returns:
            The calibration. Its figures are ``ece_before`` and ``ece``, the :func:`calibration_error` of the
            best candidate's probability with temperature 1 and :math:`T`, over the mentions of ``lists``
            whose answer is listed; and those of :func:`decision_figures` on ``nil_lists``, of confidences from
            a five-fold cross-validation, from which the threshold is chosen, too.

        Raises:
            ValueError: If the best candidate is right, or not right, for fewer than five mentions.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedKFold, cross_val_predict
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        some = nil_lists.counts > 0
        right = first_is_right(nil_scores, nil_lists)[some].numpy()
        if min(right.sum(), (~right).sum()) < FOLDS:
            raise ValueError(f"There are too few validation mentions to calibrate with: the best candidate is right "
                             f"for {right.sum()} and not right for {(~right).sum()} of them, and {FOLDS} of each are "
                             f"needed")
        temperature = _fit_temperature(scores, lists)
        x = list_features(nil_scores / temperature, nil_lists)[some]
        x = torch.where(x.isnan(), x.nanmean(0).nan_to_num(0.0), x).numpy()
        regression = make_pipeline(StandardScaler(), LogisticRegression())
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        confidence = torch.zeros(some.numel(), dtype=torch.double)
        confidence[some] = torch.from_numpy(
            cross_val_predict(regression, x, right, cv=folds, method='predict_proba')[:, 1])
        threshold = _best_threshold(confidence, nil_scores, nil_lists)
        scaler, last = regression.fit(x, right)[0], regression[-1]
        figures = {
            'ece_before': _error_of_best(scores, lists, 1.0),
            'ece': _error_of_best(scores, lists, temperature),
            **decision_figures(confidence, threshold, nil_scores, nil_lists),
        }
        return cls(temperature, scaler.mean_.tolist(), scaler.scale_.tolist(), last.coef_[0].tolist(),
                   float(last.intercept_[0]), threshold, model, figures)

    def probability(self, scores: Tensor, candidates: Candidates) -> Tensor:
        r"""Probability of each candidate, ``[P]`` to ``[P]``; those of a list add up to 1."""
        return softmax(scores / self.temperature, ptr=candidates.ptr)

    def confidence(self, scores: Tensor, candidates: Candidates) -> Tensor:
        r"""Probability that the best candidate of each list is right, ``[P]`` to float64 ``[M]``."""
        center, scale, coefficient = (torch.tensor(values, dtype=torch.double)
                                      for values in (self.center, self.scale, self.coefficient))
        x = (list_features(scores / self.temperature, candidates) - center) / scale
        confidence = torch.sigmoid(x.nan_to_num(0.0) @ coefficient + self.intercept)
        return confidence.masked_fill(candidates.counts == 0, 0.0)

    def save(self, folder: str | Path) -> None:
        r"""Writes ``calibration.json`` into the folder of the run, whole or not at all."""
        write_record(Path(folder) / FILE, {'format': FORMAT, **asdict(self)})

    @classmethod
    def load(cls, folder: str | Path, model: str) -> 'Calibration':
        r"""Reads what :meth:`save` wrote.

        Args:
            folder: The folder of the run.
            model: Key of the model that it must have been fitted for.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If the file is damaged, of another format, or was fitted for another model.
        """
        path, remedy = Path(folder) / FILE, f'make it with `drin-pyg calibrate {folder}`'
        if not path.is_file():
            raise FileNotFoundError(f"'{folder}' has no calibration ('{FILE}' is missing); {remedy}")
        try:
            record = read_record(path, FORMAT)
            calibration = cls(**{field.name: record[field.name] for field in fields(cls)})
            calibration.confidence(torch.zeros(2), Candidates.from_lists([[0, 1]]))  # numbers, and as many as features
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise ValueError(f"'{path}' cannot be read ({type(error).__name__}: {error}); {remedy}") from error
        if calibration.model != model:
            raise ValueError(f"'{path}' was fitted for another model than the one beside it; {remedy}")
        return calibration


def decision_figures(confidence: Tensor, threshold: float, scores: Tensor, candidates: Candidates) -> dict[str, float]:
    r"""How good the decision for NIL is.

    Args:
        confidence: Confidence ``[M]``; below the ``threshold``, a mention is called NIL.
        threshold: The threshold.
        scores: Scores ``[P]``.
        candidates: The lists, with ``gold``; a mention is NIL if its answer is not among them.

    Returns:
        ``mentions`` and how many of them are ``nil``; ``answer_accuracy``, the share that is answered right,
        by the right entity or by NIL; ``nil_accuracy`` and ``nil_f1`` of the decision alone; and
        ``confidence_ece``, the :func:`calibration_error` of the confidence.
    """
    right = first_is_right(scores, candidates)
    nil, called = ~padded(candidates.y, candidates, False).any(1), confidence < threshold
    both = int((nil & called).sum())
    return {
        'mentions': nil.numel(),
        'nil': int(nil.sum()),
        'answer_accuracy': float(torch.where(called, nil, right).double().mean()),
        'nil_accuracy': float((called == nil).double().mean()),
        'nil_f1': 2 * both / max(int(nil.sum()) + int(called.sum()), 1),
        'confidence_ece': calibration_error(confidence, right),
    }


def format_figures(figures: dict[str, float]) -> str:
    r"""The figures of :func:`decision_figures` as two lines."""
    return (f"NIL decision ({figures['nil']:,} of {figures['mentions']:,} mentions are NIL): accuracy "
            f"{figures['nil_accuracy']:.2%}, F1 {figures['nil_f1']:.2%}\n"
            f"Answered right, by entity or NIL: {figures['answer_accuracy']:.2%}; calibration error of the confidence "
            f"{figures['confidence_ece']:.2%}")


def format_calibration(calibration: Calibration) -> str:
    r"""A calibration and its figures on validation mentions, for people to read."""
    figures = calibration.figures
    return (f"Temperature {calibration.temperature:.3g}: calibration error of the best candidate's probability "
            f"{figures['ece_before']:.2%} before, {figures['ece']:.2%} with it\n"
            f"A mention is NIL below a confidence of {calibration.threshold:.0%}\n{format_figures(figures)}")


def _fit_temperature(scores: Tensor, candidates: Candidates) -> float:
    """Of the highest likelihood of the answers that are on their list."""
    from scipy.optimize import minimize_scalar

    rows, answers = padded(scores.double(), candidates, -torch.inf), padded(candidates.y, candidates, False)
    listed = answers.any(1)
    rows, answers = rows[listed], answers[listed]

    def loss(log_temperature: float) -> float:
        # The likelihood is convex in 1 / T, so there is one minimum. An entity that is listed twice is one answer.
        chance = (rows / float(torch.tensor(log_temperature).exp())).softmax(1)
        return float(-(chance * answers).sum(1).clamp(min=1e-300).log().mean())

    return float(torch.tensor(minimize_scalar(loss, bounds=(-7, 7), method='bounded').x).exp())


def _error_of_best(scores: Tensor, candidates: Candidates, temperature: float) -> float:
    listed = padded(candidates.y, candidates, False).any(1)
    best = padded(softmax(scores.double() / temperature, ptr=candidates.ptr), candidates, 0.0).amax(1)
    return calibration_error(best[listed].clamp(max=1), first_is_right(scores, candidates)[listed])


def _best_threshold(confidence: Tensor, scores: Tensor, candidates: Candidates) -> float:
    """Between two confidences, where most mentions are answered right; above 0, the confidence of an empty list."""
    some = candidates.counts > 0
    confidence, order = confidence[some].sort()
    right = first_is_right(scores, candidates)[some][order]
    nil = ~padded(candidates.y, candidates, False).any(1)[some][order]
    zero = torch.zeros(1, dtype=torch.long)
    called = torch.cat([zero, nil.long().cumsum(0)])                    # the first i are called NIL, i = 0..M
    kept = torch.cat([right.long().flip(0).cumsum(0).flip(0), zero])    # and the others are not
    edges = torch.cat([confidence.new_zeros(1), confidence, confidence.new_ones(1)])
    middle = (edges[:-1] + edges[1:]) / 2
    possible = edges[1:] > edges[:-1]                                   # equal confidences stay together
    return float(middle[(called + kept).masked_fill(~possible, -1).argmax()])
