import pytest
import torch

from drin_pyg.baselines import MELHI
from drin_pyg.baselines.sides import Sides
from drin_pyg.vocabulary import ENTITY_IMAGE, ENTITY_TEXT
from tests.baselines import reference
from tests.baselines.problems import make_model, make_problem
from tests.training.tables import WIDTH, make_tables
from tests.world import LISTS


@pytest.fixture(scope='module')
def problem():
    return make_problem()


@torch.no_grad()
def test_filter_keeps_what_the_loop_keeps(problem):
    batch, seen = problem.batch(), set()
    for threshold in (-1.0, -0.3, 0.0, 0.3, 0.9):
        model = make_model('melhi', problem, threshold=threshold)
        expected = [reference.melhi_keeps(model, problem.tables, problem.rows(problem.tokens, m), m, LISTS[m])
                    for m in (0, 2, 3, 4, 5)]
        kept = model.images(batch, Sides(batch))[2]
        assert kept.tolist() == expected
        seen.add(tuple(expected))
    assert (False, False, False, False, False) in seen  # the filter has done something, and not always
    assert len(seen) > 2


@torch.no_grad()
def test_a_candidate_can_decide_about_the_image(problem):
    model = make_model('melhi', problem, threshold=-0.3)
    tokens = problem.rows(problem.tokens, 3)
    decisions = {reference.melhi_keeps(model, problem.tables, tokens, 3, [e]) for e in LISTS[3]}
    assert decisions == {True, False}


@torch.no_grad()
def test_nothing_marked_is_everything_marked(problem):
    model, batch = make_model('melhi', problem), problem.batch()
    some = model(batch)
    batch.token_marked = torch.zeros_like(batch.token_marked)
    none = model(batch)
    batch.token_marked = batch.token_mask.clone()
    assert none.equal(model(batch))
    assert not torch.allclose(none, some)


def test_tokens_of_another_width(problem):
    with pytest.raises(ValueError, match=r'Tokens are 7 wide.*build it with text_channels=7'):
        MELHI(8)(problem.batch())


def test_images_start_at_the_ridge_regression_of_texts():
    tables, *_ = make_tables()
    model = MELHI(8, text_channels=WIDTH).start_images(tables)
    x, y = tables.x[ENTITY_IMAGE].double(), tables.x[ENTITY_TEXT].double()
    centred = x - x.mean(0)
    weight = torch.linalg.solve(centred.t() @ centred + torch.eye(WIDTH), centred.t() @ (y - y.mean(0)))
    expected = y.mean(0) + centred @ weight
    torch.testing.assert_close(model.image(tables.x[ENTITY_IMAGE]).double(), expected, rtol=0, atol=1e-4)
    assert all(parameter.requires_grad for parameter in model.image.parameters())


def test_images_cannot_start_without_images_or_in_another_width(problem):
    tables, *_ = make_tables(images=False)
    torch.manual_seed(0)
    model = MELHI(8, text_channels=WIDTH)
    assert model.start_images(tables) is model
    assert model.image.in_channels == WIDTH
    with pytest.raises(ValueError, match=r'Texts of entities are 6 wide.*text_channels=7'):
        MELHI(8, text_channels=7).start_images(problem.tables)
