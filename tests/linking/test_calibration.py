import json
from dataclasses import replace

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from drin_pyg.features import Candidates
from drin_pyg.linking import Calibration
from drin_pyg.linking.calibration import FILE, decision_figures, format_calibration
from drin_pyg.linking.list_features import first_is_right, list_features

NUM_MENTIONS = 1000


def draw(seed=0, sharpness=3.0, nil=0.3):
    """Lists of 1 to 6 candidates whose scores are logits times 1 / sharpness, drawn so that they are right as often as
    their softmax says; of some the answer is elsewhere, and they score lower."""
    generator = torch.Generator().manual_seed(seed)
    lists, gold, scores = [], [], []
    for m in range(NUM_MENTIONS):
        size = int(torch.randint(1, 7, (), generator=generator)) if m else 0  # the first list is empty
        logits = 2 * torch.randn(size, generator=generator, dtype=torch.double)
        away = bool(torch.rand((), generator=generator) < nil)
        answer = int(torch.multinomial(logits.softmax(0), 1, generator=generator)) if size and not away else -1
        lists.append(list(range(10, 10 + size)))
        gold.append(answer + 10 if answer >= 0 else 99)
        scores.append((logits - 5 * away) / sharpness)
    return torch.cat(scores).float(), Candidates.from_lists(lists, gold)


@pytest.fixture(scope='module')
def fitted():
    scores, lists = draw()
    return Calibration.fit(scores, lists, scores, lists, 'key'), scores, lists


def likelihood(temperature, scores, lists):
    total = 0.0
    for m in range(lists.num_mentions):
        own = slice(int(lists.ptr[m]), int(lists.ptr[m + 1]))
        chance = (scores[own].double() / temperature).softmax(0)
        hit = [float(p) for p, e in zip(chance, lists.entity[own], strict=True) if e == lists.gold[m]]
        total += sum(torch.tensor(hit).log().tolist())
    return total


def test_temperature_is_the_most_likely_one(fitted):
    calibration, scores, lists = fitted
    best = likelihood(calibration.temperature, scores, lists)
    for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2):
        assert likelihood(calibration.temperature * factor, scores, lists) < best
    assert calibration.temperature == pytest.approx(1 / 3, rel=0.2)  # what the scores were drawn with


def test_temperature_mends_the_probabilities(fitted):
    calibration, _, _ = fitted
    assert calibration.figures['ece'] < 0.06 < 0.15 < calibration.figures['ece_before']
    scores, lists = draw(seed=1, nil=0.0)
    probability = calibration.probability(scores, lists)
    sums = torch.zeros(lists.num_mentions).index_add_(0, lists.mention, probability)
    assert sums.tolist() == pytest.approx([0.0] + [1.0] * (NUM_MENTIONS - 1), abs=1e-5)
    own = slice(int(lists.ptr[5]), int(lists.ptr[6]))
    assert probability[own].tolist() == pytest.approx((scores[own] / calibration.temperature).softmax(0).tolist())


def test_confidence_is_that_of_the_regression(fitted):
    """Refitted by hand, with missing features filled and standardised in a loop."""
    calibration, scores, lists = fitted
    x = list_features(scores / calibration.temperature, lists)
    y = first_is_right(scores, lists)
    columns = []
    for column in x[1:].t():  # but the empty list
        there = column[~column.isnan()]
        filled = torch.where(column.isnan(), there.mean(), column)
        columns.append((filled - filled.mean()) / filled.std(unbiased=False))
    expected = LogisticRegression().fit(torch.stack(columns, 1).numpy(), y[1:].numpy()).predict_proba(
        torch.stack(columns, 1).numpy())[:, 1]
    found = calibration.confidence(scores, lists)
    assert found[0] == 0
    assert found[1:].tolist() == pytest.approx(expected.tolist(), abs=1e-4)


def test_threshold_answers_most_mentions_right(fitted):
    calibration, _, lists = fitted
    fresh_scores, fresh = draw(seed=2)
    right = first_is_right(fresh_scores, fresh)
    kept = float(right.double().mean())
    found = decision_figures(calibration.confidence(fresh_scores, fresh), calibration.threshold, fresh_scores, fresh)
    assert found['answer_accuracy'] > kept + 0.1  # never to say NIL
    assert found['answer_accuracy'] > 0.4         # always to say NIL
    assert calibration.figures['nil'] == sum(
        int(lists.gold[m]) not in lists.entity[lists.ptr[m]:lists.ptr[m + 1]].tolist() for m in range(NUM_MENTIONS))


def test_figures_of_the_decision_against_scikit_learn(fitted):
    calibration, scores, lists = fitted
    confidence = calibration.confidence(scores, lists)
    found = decision_figures(confidence, 0.45, scores, lists)
    nil = [int(lists.gold[m]) not in lists.entity[lists.ptr[m]:lists.ptr[m + 1]].tolist() for m in range(NUM_MENTIONS)]
    called = (confidence < 0.45).tolist()
    assert found['nil_accuracy'] == pytest.approx(accuracy_score(nil, called))
    assert found['nil_f1'] == pytest.approx(f1_score(nil, called))
    answered = [n if c else r for n, c, r in zip(nil, called, first_is_right(scores, lists).tolist(), strict=True)]
    assert found['answer_accuracy'] == pytest.approx(sum(answered) / NUM_MENTIONS)


def test_the_empty_list_is_nil_and_a_lone_candidate_is_judged_by_its_score(fitted):
    calibration, _, _ = fitted
    lists = Candidates.from_lists([[], [0], [0]])
    empty, low, high = calibration.confidence(torch.tensor([-2.0, 2.0]), lists).tolist()
    assert empty == 0 < calibration.threshold
    assert low < high


def test_cosines_are_calibrated_like_logits():
    scores, lists = draw(sharpness=30.0)
    calibration = Calibration.fit(scores, lists, scores, lists, 'key')
    assert calibration.temperature == pytest.approx(1 / 30, rel=0.2)
    assert calibration.figures['ece'] < 0.06


def test_saved_and_read_again(fitted, tmp_path):
    calibration, scores, lists = fitted
    calibration.save(tmp_path)
    again = Calibration.load(tmp_path, 'key')
    assert again == calibration
    assert again.confidence(scores, lists).tolist() == calibration.confidence(scores, lists).tolist()
    assert 'Temperature' in format_calibration(again)
    assert 'F1' in format_calibration(again)


def test_what_is_missing_stale_or_damaged_is_named(fitted, tmp_path):
    with pytest.raises(FileNotFoundError, match=rf'drin-pyg calibrate {tmp_path}'):
        Calibration.load(tmp_path, 'key')
    fitted[0].save(tmp_path)
    with pytest.raises(ValueError, match=rf"{FILE}' was fitted for another model.*drin-pyg calibrate"):
        Calibration.load(tmp_path, 'other')
    record = json.loads((tmp_path / FILE).read_text())
    for change in ({'format': 2}, {'coefficient': [1.0]}, {'temperature': 'warm'}, {'center': None}):
        (tmp_path / FILE).write_text(json.dumps({**record, **change}))
        with pytest.raises(ValueError, match=rf"{FILE}' cannot be read.*drin-pyg calibrate"):
            Calibration.load(tmp_path, 'key')
    for text in ('{', '[]', '{}', json.dumps({name: value for name, value in record.items() if name != 'scale'})):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(ValueError, match=rf"{FILE}' cannot be read"):
            Calibration.load(tmp_path, 'key')


def test_too_few_mentions_are_named():
    lists = Candidates.from_lists([[0, 1]] * 8, [0] * 8)
    scores = torch.tensor([1.0, 0.0] * 8)
    with pytest.raises(ValueError, match='right for 8 and not right for 0 of them'):
        Calibration.fit(scores, lists, scores, lists, 'key')


def test_the_same_every_time():
    scores, lists = draw()
    first, second = (Calibration.fit(scores, lists, scores, lists, 'key') for _ in range(2))
    assert first == second
    assert replace(first, model='other') != second
