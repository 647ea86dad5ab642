import pytest
import torch

from drin_pyg.baselines import SingleSpace
from drin_pyg.nn.loss import margin_loss
from drin_pyg.vocabulary import MENTION_IMAGE
from tests.baselines import reference
from tests.baselines.problems import make_model, make_problem
from tests.world import GOLD, LISTS


@pytest.fixture(scope='module')
def problem():
    return make_problem()


@torch.no_grad()
def test_loss_is_a_softmax_over_all_entities_of_the_batch(problem):
    model = make_model('single_space', problem)
    chosen = [5, 0, 3, 1]  # mention 3's answer is not in its list, mention 1 has no list
    entities = sorted({e for m in chosen for e in LISTS[m]})
    terms = []
    for m in chosen:
        if GOLD[m] in LISTS[m]:
            scores = torch.stack([reference.single_space(model, problem.tables, m, e) for e in entities])
            terms.append(scores.logsumexp(0) - scores[entities.index(GOLD[m])])
    assert len(terms) == 2
    loss = model.loss(problem.batch(torch.tensor(chosen)), margin_loss)
    assert float(loss) == pytest.approx(float(sum(terms)) / 2, rel=1e-4)


def test_loss_without_an_answer(problem):
    model = make_model('single_space', problem)
    loss = model.loss(problem.batch(torch.tensor([3])), margin_loss)
    assert loss.item() == 0
    loss.backward()  # of a batch like this, training goes on
    assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters())


@torch.no_grad()
def test_image_alone_says_nothing_where_one_is_missing(problem):
    model = make_model('image_only', problem)
    scores = model(problem.batch())
    counts = problem.tables.num_rows(MENTION_IMAGE, problem.candidates.mention)
    assert int((counts == 0).sum()) == 2  # the pairs of mention 5
    assert not scores[counts == 0].any()
    assert scores[counts > 0].any()


@pytest.mark.parametrize('modalities', [(), ('sound', )])
def test_modalities_that_are_not_there(modalities):
    with pytest.raises(ValueError, match="'modalities' must be some of text, image"):
        SingleSpace(modalities=modalities)
