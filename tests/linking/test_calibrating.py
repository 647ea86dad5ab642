import shutil
from dataclasses import replace

import pytest
import torch

from drin_pyg.evaluation import gold_ranks
from drin_pyg.features import Candidates
from drin_pyg.graph import CandidateLoader, forward_args
from drin_pyg.linking import calibrate, evaluate_calibration, load_calibration
from drin_pyg.linking.calibrating import take_out_answers
from drin_pyg.linking.calibration import FILE
from drin_pyg.nn import DRIN
from drin_pyg.training import load_run
from drin_pyg.vocabulary import EDGE_TYPES


def test_answers_are_taken_out_and_nothing_else(single_world):
    """Against lists rebuilt one by one; an answer that is listed twice goes twice."""
    lists = single_world.candidates
    listed = torch.tensor([0, 2, 4, 5])
    taken = take_out_answers(lists, listed, 2, seed=3)
    chosen = listed[torch.randperm(4, generator=torch.Generator().manual_seed(3))[:2]].tolist()
    assert 4 in chosen  # which lists its answer twice
    kept = [[p for p in range(int(lists.ptr[m]), int(lists.ptr[m + 1]))
             if m not in chosen or int(lists.entity[p]) != int(lists.gold[m])] for m in range(6)]
    expected = Candidates.from_lists([lists.entity[own].tolist() for own in kept])
    assert taken.ptr.tolist() == expected.ptr.tolist()
    assert taken.entity.tolist() == expected.entity.tolist()
    assert taken.gold.tolist() == lists.gold.tolist()
    pairs = [p for own in kept for p in own]
    assert {t: w.tolist() for t, w in taken.weight.items()} == {t: w[pairs].tolist() for t, w in lists.weight.items()}
    assert set(taken.weight) == {EDGE_TYPES[0], EDGE_TYPES[3]}


@pytest.fixture
def run(run_folder, tmp_path):
    shutil.copytree(run_folder, tmp_path / 'run')
    (tmp_path / 'run' / FILE).unlink(missing_ok=True)
    return (tmp_path / 'run', *load_run(tmp_path / 'run'))


def test_a_run_is_calibrated_on_its_validation_mentions(run):
    folder, recipe, model, data = run
    assert load_calibration(folder, model) is None
    calibration = calibrate(model, data, recipe, folder)
    assert load_calibration(folder, model) == calibration
    figures = calibration.figures
    assert (figures['mentions'], figures['nil']) == (391, 39)  # every list holds its answer, so a tenth are taken out
    assert figures['ece'] < min(0.1, figures['ece_before'])
    assert figures['nil_accuracy'] > 0.6
    other = evaluate_calibration(calibration, model, data, recipe, 'test')
    assert (other['mentions'], other['nil']) == (719, 72)
    assert other['answer_accuracy'] > 0.6
    assert abs(other['answer_accuracy'] - figures['answer_accuracy']) < 0.1
    with pytest.raises(ValueError, match="no split 'dev'"):
        evaluate_calibration(calibration, model, data, recipe, 'dev')


def test_the_share_of_nil_mentions(run):
    folder, recipe, model, data = run
    assert calibrate(model, data, recipe, folder, nil_share=0.2).figures['nil'] == 78
    half = data.candidates.gold.clone()
    half[data.split['val'][::2]] = -1
    own = replace(data, candidates=replace(data.candidates, gold=half))
    assert calibrate(model, own, recipe, folder).figures['nil'] == 196      # as they are
    few = data.candidates.gold.clone()
    few[data.split['val'][:20]] = -1
    own = replace(data, candidates=replace(data.candidates, gold=few))
    assert calibrate(model, own, recipe, folder).figures['nil'] == 39       # made up to a tenth
    with pytest.raises(ValueError, match='between 0 and 1, got 1'):
        calibrate(model, data, recipe, folder, nil_share=1.0)


def test_mention_context_scores_the_shortened_lists_again(run):
    """A list without its answer has other scores there, not the old ones less one."""
    folder, recipe, _, data = run
    torch.manual_seed(0)
    model = DRIN.published(hidden_channels=8, num_layers=1)
    recipe = replace(recipe, context='mention')
    model(**forward_args(next(iter(CandidateLoader(data.tables, data.candidates, data.split['val'][:2])))))
    figures = calibrate(model, data, recipe, folder).figures
    listed = data.split['val']
    lists = take_out_answers(data.candidates, listed, 196)
    scores = torch.cat([model(**forward_args(batch)).detach()
                        for batch in CandidateLoader(data.tables, lists, listed, context='mention')])
    right = int((gold_ranks(scores, lists.select(listed)) == 1).sum())
    found = load_calibration(folder, model)
    confidence = found.confidence(scores, lists.select(listed))
    assert 0 < right < 391 - figures['nil']
    assert float(confidence.mean()) == pytest.approx(right / 391, abs=0.02)  # a logistic regression is right on average


def test_too_few_mentions_leave_no_calibration_behind(run):
    folder, recipe, model, data = run
    calibrate(model, data, recipe, folder)
    small = replace(data, split={**data.split, 'val': data.split['val'][:6]})
    with pytest.raises(ValueError, match='too few validation mentions'):
        calibrate(model, small, recipe, folder)
    assert not (folder / FILE).exists()


def test_a_calibration_of_another_model_is_refused(run):
    folder, recipe, model, data = run
    calibrate(model, data, recipe, folder)
    with torch.no_grad():
        next(model.parameters()).add_(1e-3)
    with pytest.raises(ValueError, match=rf"{FILE}' was fitted for another model"):
        load_calibration(folder, model)
