import math

import pytest
import torch

from drin_pyg.baselines import GHMFC, AddSequences
from drin_pyg.baselines.cross_attention import CrossAttention
from drin_pyg.baselines.ghmfc import contrast
from drin_pyg.features import Sequences
from drin_pyg.graph import candidate_batch
from drin_pyg.nn.loss import margin_loss, softmax_loss
from tests.baselines import reference
from tests.baselines.problems import make_model, make_problem


@pytest.fixture(scope='module')
def problem():
    return make_problem()


@pytest.mark.parametrize(('width', 'heads', 'used'), [(128, 8, 8), (12, 8, 6), (7, 4, 1), (6, 2, 2)])
def test_heads_divide_the_width(width, heads, used):
    assert [attention.num_heads for attention in CrossAttention(width, heads).attentions] == [used, used]


@torch.no_grad()
def test_sides_that_are_not_there(problem):
    model = make_model('ghmfc', problem)
    t, i, there = model.modalities(problem.batch())
    assert there.tolist() == [[True, True], [True, True], [True, True], [False, True], [True, False]]
    assert not t[3].any()
    assert not i[4].any()
    assert t[4].any()
    assert i[3].any()


@torch.no_grad()
def test_neither_tokens_nor_regions(problem):
    none = Sequences(torch.empty(0, 7), torch.zeros(7, dtype=torch.long), torch.empty(0, dtype=torch.bool))
    batch = AddSequences(none, Sequences(torch.empty(0, 5), none.ptr))(
        candidate_batch(problem.tables, problem.candidates))
    assert make_model('ghmfc', problem)(batch).eq(0).all()


@torch.no_grad()
def test_contrastive_loss(problem):
    model = make_model('ghmfc', problem, contrastive=0.5)
    sides = [reference.ghmfc_sides(model, problem.rows(problem.tokens, m), problem.rows(problem.regions, m))
             for m in (0, 2, 3)]  # those that have both
    cosines = [[float(reference.cosine(t, i)) / 0.07 for _, i in sides] for t, _ in sides]
    expected = 0.0
    for k in range(3):
        expected += math.log(sum(math.exp(cosines[k][j] - cosines[k][k]) for j in range(3))) / 6
        expected += math.log(sum(math.exp(cosines[j][k] - cosines[k][k]) for j in range(3))) / 6
    batch = problem.batch()
    plain = softmax_loss(model(batch), batch.y, batch.mention)
    assert float(model.loss(batch, softmax_loss) - plain) == pytest.approx(0.5 * expected, rel=1e-3)
    model.contrastive = 0.0
    assert float(model.loss(batch, softmax_loss)) == pytest.approx(float(plain))


def test_contrast_of_one():
    assert float(contrast(torch.ones(1, 4), torch.ones(1, 4))) == 0


@torch.no_grad()
@pytest.mark.parametrize('name', ['ghmfc', 'melhi'])
def test_plain_cosines_for_the_margin_loss(problem, name):
    model, plain = make_model(name, problem), make_model(name, problem, scaled=False)
    plain.contrastive = 0.0
    state = {key: value for key, value in model.state_dict().items() if 'log_scale' not in key}
    plain.load_state_dict(state)
    scores, batch = plain(problem.batch()), problem.batch()
    assert scores.abs().max() <= 1 + 1e-6
    torch.testing.assert_close(model(batch), scores * model.cosine.log_scale.exp(), rtol=1e-4, atol=1e-4)
    assert float(plain.loss(batch, margin_loss)) == float(margin_loss(scores, batch.y, batch.mention))


def test_scale_is_bounded(problem):
    model = make_model('ghmfc', problem)
    with torch.no_grad():
        model.cosine.log_scale.fill_(50.0)
        assert 1 < float(model(problem.batch()).abs().max()) <= 100.001


def test_dropout_is_for_training_alone(problem):
    model = GHMFC(16, dropout=0.5)
    batch = problem.batch()
    model.eval()
    assert model(batch).equal(model(batch))
    model.train()
    assert not model(batch).equal(model(batch))
