import pytest
import torch

from drin_pyg.features import NIL, Candidates, LearnedWeights
from drin_pyg.features.learned_weights import L2
from drin_pyg.vocabulary import IMAGE_IMAGE, TEXT_IMAGE, TEXT_TEXT

RELATION = {'a': TEXT_TEXT, 'b': TEXT_TEXT, 'c': IMAGE_IMAGE}
BINS = {'year': TEXT_IMAGE}


@pytest.fixture
def problem():
    """60 mentions with 1 to 5 candidates; the answer follows a and the year's bin, b and c are noise."""
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(1, 6, (60, ), generator=generator).tolist()
    pairs = sum(counts)
    features = {name: torch.randn(pairs, generator=generator) for name in 'abc'}
    features['year'] = torch.randint(0, 4, (pairs, ), generator=generator)
    score = 2 * features['a'] + torch.tensor([0., 2., -2., 0.])[features['year']]
    lists, gold, start = [], [], 0
    for m, count in enumerate(counts):
        entities = list(range(start, start + count))
        noise = -torch.rand(count, generator=generator).log().neg().log()  # Gumbel: the logit is the true model
        best = start + int((score[start:start + count] + noise).argmax())
        lists.append(entities)
        gold.append(NIL if m % 10 == 0 else best)
        start += count
    return features, Candidates.from_lists(lists, gold)


def objective(features, candidates, mention, weights, coefficient):
    """The penalised negative log-likelihood, written out."""
    total = sum(weights(features).values())
    loss, count = 0., 0
    for m in mention.tolist():
        rows = range(int(candidates.ptr[m]), int(candidates.ptr[m + 1]))
        right = [i for i in rows if candidates.entity[i] == candidates.gold[m]]
        if right:
            scores = torch.stack([total[i] for i in rows])
            loss -= float(total[right[0]] - torch.logsumexp(scores, 0))
            count += 1
    return loss / count + L2 * float(coefficient.square().sum())


def test_fit_is_the_minimum(problem):
    features, candidates = problem
    mention = torch.arange(50)
    weights = LearnedWeights(RELATION, BINS, 4).fit(features, candidates, mention)
    best = objective(features, candidates, mention, weights, weights.state['coefficient'])
    for column in range(4):
        for step in (-0.02, 0.02):
            moved = LearnedWeights(RELATION, BINS, 4)
            moved.state = dict(weights.state)
            moved.state['coefficient'] = weights.state['coefficient'].clone()
            moved.state['coefficient'][column] += step
            assert objective(features, candidates, mention, moved, moved.state['coefficient']) > best
    assert weights.state['coefficient'].abs().argsort(descending=True)[:2].sort().values.tolist() == [0, 3]


def test_each_relation_gets_its_share(problem):
    features, candidates = problem
    weights = LearnedWeights(RELATION, BINS, 4).fit(features, candidates, torch.arange(50))
    state, shares = weights.state, weights(features)
    x = torch.stack([features['a'], features['b'], features['c'], state['log_ratio'][0][features['year']]], -1)
    parts = (x - state['mean']) / state['scale'] * state['coefficient']
    torch.testing.assert_close(shares[TEXT_TEXT], parts[:, 0] + parts[:, 1])
    torch.testing.assert_close(shares[IMAGE_IMAGE], parts[:, 2])
    torch.testing.assert_close(shares[TEXT_IMAGE], parts[:, 3])
    assert set(shares) == {TEXT_TEXT, IMAGE_IMAGE, TEXT_IMAGE}


def test_bins_are_log_ratios_of_right_to_wrong(problem):
    features, candidates = problem
    state = LearnedWeights(RELATION, BINS, 4).fit(features, candidates, torch.arange(60)).state
    right, wrong = [1.] * 4, [1.] * 4
    for i, y in enumerate(candidates.y.tolist()):
        (right if y else wrong)[int(features['year'][i])] += 1
    expected = [(torch.tensor(r / sum(right)) / (w / sum(wrong))).log() for r, w in zip(right, wrong, strict=True)]
    torch.testing.assert_close(state['log_ratio'][0], torch.stack(expected))


def test_other_mentions_say_nothing(problem):
    features, candidates = problem
    one = LearnedWeights(RELATION, BINS, 4).fit(features, candidates, torch.arange(40)).state
    pairs = int(candidates.ptr[40])
    changed = {name: torch.cat([x[:pairs], x[pairs:].flip(0)]) for name, x in features.items()}
    other = LearnedWeights(RELATION, BINS, 4).fit(changed, candidates, torch.arange(40)).state
    for name, x in one.items():
        assert x.equal(other[name])


def test_nothing_to_learn_from(problem):
    features, candidates = problem
    with pytest.raises(ValueError, match='nothing to learn first weights from'):
        LearnedWeights(RELATION, BINS, 4).fit(features, candidates, torch.tensor([0, 10]))  # both NIL
