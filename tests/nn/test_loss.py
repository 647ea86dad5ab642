import math

import pytest
import torch

from drin_pyg.nn.loss import counted_mentions, margin_loss, softmax_loss

# Scores and right candidates of each mention: ragged, without the answer, with the answer twice, with one candidate.
MENTIONS = {
    'one': [([0.3, -0.1, 0.2], [0])],
    'ragged': [([0.3, -0.1, 0.2], [1]), ([0.5], [0]), ([-0.9, 0.8, 0.1, 0.0, 0.4], [4])],
    'answer missing': [([0.3, -0.5], []), ([0.1, 0.2, 0.7], [2]), ([-0.9], [])],
    'answer twice': [([0.3, 0.9, 0.2, 0.1], [0, 3]), ([0.4, 0.2], [1])],
    'all missing': [([0.3, -0.5], []), ([0.2], [])],
}
mentions = pytest.mark.parametrize('lists', MENTIONS.values(), ids=MENTIONS)


def margin_loop(lists, margin=0.25):
    total = 0.0
    for scores, right in lists:
        gold = sum(scores[k] for k in right) / len(right) if right else 0.0
        total = total + sum(max(0.0, margin + s - gold) for s in scores) / len(scores)
    return total / len(lists)


def softmax_loop(lists):
    losses = []
    for scores, right in lists:
        if right:
            gold = sum(scores[k] for k in right) / len(right)
            losses.append(math.log(sum(math.exp(s) for s in scores)) - gold)
    return sum(losses) / len(losses) if losses else 0.0


def tensors(lists, numbers=None):
    scores = torch.tensor([s for part, _ in lists for s in part], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([k in right for part, right in lists for k in range(len(part))])
    numbers = range(len(lists)) if numbers is None else numbers
    mention = torch.tensor([m for m, (part, _) in zip(numbers, lists, strict=True) for _ in part])
    return scores, y, mention


@mentions
@pytest.mark.parametrize('margin', [0.25, 0.0, 1.5])
def test_margin_equals_loops(lists, margin):
    assert margin_loss(*tensors(lists), margin).item() == pytest.approx(margin_loop(lists, margin), abs=1e-14)


@mentions
def test_softmax_equals_loops(lists):
    assert softmax_loss(*tensors(lists)).item() == pytest.approx(softmax_loop(lists), abs=1e-14)


@mentions
@pytest.mark.parametrize('loss', [margin_loss, softmax_loss])
def test_gradient(loss, lists):
    scores, y, mention = tensors(lists)
    assert torch.autograd.gradcheck(lambda s: loss(s, y, mention), (scores, ))


def test_softmax_is_cross_entropy():
    scores, y, mention = tensors([([0.3, -0.1, 0.2], [1]), ([1.5, 0.5, -2.0], [2])])
    expected = torch.nn.functional.cross_entropy(scores.view(2, 3), torch.tensor([1, 2]))
    torch.testing.assert_close(softmax_loss(scores, y, mention), expected)


def test_margin_counts_the_term_of_the_answer_itself():
    # All others are far below; what is left is the margin, divided by the number of candidates.
    assert margin_loss(*tensors([([0.9, -0.9, -0.9, -0.9], [0])])).item() == pytest.approx(0.25 / 4)


def test_margin_pushes_all_candidates_down_where_the_answer_is_missing():
    scores, y, mention = tensors([([0.3, -0.1, -0.5], [])])
    margin_loss(scores, y, mention).backward()
    torch.testing.assert_close(scores.grad, torch.tensor([1, 1, 0]).double() / 3)


def test_softmax_leaves_mentions_without_answer_out():
    scores, y, mention = tensors([([0.3, -0.1, -0.5], []), ([0.2, 0.1], [0])])
    softmax_loss(scores, y, mention).backward()
    assert scores.grad[:3].eq(0).all()
    assert scores.grad[3:].ne(0).all()


@pytest.mark.parametrize('loss', [margin_loss, softmax_loss])
def test_names_of_mentions_do_not_matter(loss):
    lists = MENTIONS['ragged']
    assert loss(*tensors(lists)).equal(loss(*tensors(lists, numbers=[7, 2, 40])))


@pytest.mark.parametrize('loss', [margin_loss, softmax_loss])
def test_empty_batch(loss):
    scores = torch.empty(0, requires_grad=True)
    value = loss(scores, torch.empty(0, dtype=torch.bool), torch.empty(0, dtype=torch.long))
    assert value.item() == 0
    value.backward()
    assert scores.grad.shape == (0, )


@pytest.mark.parametrize('loss', [margin_loss, softmax_loss])
def test_all_answers_missing_still_has_a_gradient(loss):
    # Such a batch must not end a training run.
    scores, y, mention = tensors(MENTIONS['all missing'])
    loss(scores, y, mention).backward()
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_large_logits_stay_finite(dtype):
    scores = torch.tensor([1e4, -1e4, 9e3, -2e4, 3e4], dtype=dtype, requires_grad=True)
    y, mention = torch.tensor([True, False, False, True, False]), torch.tensor([0, 0, 0, 1, 1])
    value = softmax_loss(scores, y, mention)
    value.backward()
    torch.testing.assert_close(value.float(), torch.tensor(25e3), rtol=1e-2, atol=0)
    torch.testing.assert_close(scores.grad.float(), torch.tensor([0, 0, 0, -0.5, 0.5]))


@pytest.mark.parametrize('loss', [margin_loss, softmax_loss])
def test_better_scores_cost_less(loss):
    bad, good = [([0.1, 0.3, 0.2], [0])], [([0.4, 0.3, 0.2], [0])]
    assert loss(*tensors(good)) < loss(*tensors(bad))


@pytest.mark.parametrize('loss', [margin_loss, softmax_loss])
@pytest.mark.parametrize('processes', [2, 3, 5])
def test_weighted_parts_add_up_to_the_whole(loss, processes):
    # Of five mentions, one has no answer on its list and one no candidates; some parts have nothing that counts.
    counts = torch.tensor([3, 2, 0, 4, 1])
    mention = torch.repeat_interleave(counts)
    y = torch.tensor([0, 1, 0, 0, 0, 0, 0, 1, 0, 1], dtype=torch.bool)
    scores = torch.randn(10, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    assert counted_mentions(loss, y, mention) == (3 if loss is softmax_loss else 4)
    total = 0.0
    for i in range(processes):
        own = mention % processes == i
        total += counted_mentions(loss, y[own], mention[own]) * loss(scores[own], y[own], mention[own])
    torch.testing.assert_close(total / counted_mentions(loss, y, mention), loss(scores, y, mention))
