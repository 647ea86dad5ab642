"""What holds for every trainable baseline."""

import pytest
import torch

from drin_pyg.baselines import AddSequences, build_baseline, needs_sequences
from drin_pyg.evaluation import evaluate_scores
from drin_pyg.features import Sequences
from drin_pyg.graph import candidate_batch
from drin_pyg.nn import DRIN
from drin_pyg.nn.loss import softmax_loss
from drin_pyg.training import CandidateDataModule, fit, predict, warm_start
from drin_pyg.vocabulary import MENTION_IMAGE, MENTION_TEXT
from tests.baselines.problems import OPTIONS, loop_scores, make_model, make_problem
from tests.training.tables import NUM_MENTIONS, WIDTH, make_tables

each_baseline = pytest.mark.parametrize('name', list(OPTIONS))


@pytest.fixture(scope='module')
def problem():
    return make_problem()


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@each_baseline
@torch.no_grad()
def test_scores_equal_the_loops(name, problem):
    model = make_model(name, problem)
    scores = model(problem.batch())
    assert scores.shape == (problem.candidates.num_pairs, )
    assert scores.std() > 0.1
    close(scores, loop_scores(name, model, problem))


@each_baseline
@pytest.mark.parametrize(('context', 'compact'), [('pair', False), ('mention', True), ('mention', False)])
@torch.no_grad()
def test_scores_do_not_depend_on_how_the_batch_is_built(name, context, compact, problem):
    model = make_model(name, problem)
    close(model(problem.batch(context=context, compact=compact)), model(problem.batch()))


@each_baseline
@torch.no_grad()
def test_mentions_one_by_one(name, problem):
    # In any order, and with what padding their neighbours need.
    model = make_model(name, problem)
    alone = torch.cat([model(problem.batch(torch.tensor([m]))) for m in (0, 2, 3, 4, 5)])
    close(alone, model(problem.batch()))
    close(model(problem.batch(torch.tensor([5, 4, 3, 2, 0])))[:2], alone[-2:])


@each_baseline
def test_every_parameter_gets_a_finite_gradient(name, problem):
    model = make_model(name, problem).train()
    model.loss(problem.batch(), softmax_loss).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert bool(parameter.grad.isfinite().all()), parameter_name
        # A constant added to all keys changes no attention.
        assert float(parameter.grad.abs().max()) > 0 or 'in_proj_bias' in parameter_name, parameter_name


@each_baseline
def test_saved_and_read(name, problem, tmp_path):
    model = make_model(name, problem)
    again = type(model).from_pretrained(model.save_pretrained(tmp_path))
    assert again.config() == model.config()
    with torch.no_grad():
        assert again(problem.batch()).equal(model(problem.batch()))


@each_baseline
def test_reset_draws_anew_and_starts_alike(name, problem):
    model = make_model(name, problem)
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        model.reset_parameters()
        states.append([parameter.clone() for parameter in model.parameters()])
    assert all(a.equal(b) for a, b in zip(*states, strict=True))


@each_baseline
@torch.no_grad()
def test_batch_without_pairs(name, problem):
    model = make_model(name, problem)
    assert model(problem.batch(torch.tensor([1]))).shape == (0, )


def texts_agree(images=True):
    """The learnable problem, with the text's features as two tokens and the image's as one region."""
    tables, candidates, split = make_tables(images=images)
    ptr = torch.arange(NUM_MENTIONS + 1)
    tokens = Sequences(tables.x[MENTION_TEXT].repeat_interleave(2, 0), 2 * ptr,
                       torch.tensor([True, False] * NUM_MENTIONS))
    regions = Sequences(tables.x[MENTION_IMAGE], ptr if images else torch.zeros_like(ptr))
    return tables, candidates, split, AddSequences(tokens, regions)


def small(name, **options):
    torch.manual_seed(0)
    width = {'text_channels': WIDTH} if name == 'melhi' else {}
    return build_baseline(name, hidden_channels=16, **width, **options)


@pytest.mark.parametrize('images', [True, False], ids=['images', 'texts alone'])
@pytest.mark.parametrize('name', [name for name in OPTIONS if name != 'image_only'])
def test_learns(name, images):
    tables, candidates, split, transform = texts_agree(images)
    model = small(name)
    train, val = (transform(candidate_batch(tables, candidates, split[part])) for part in ('train', 'val'))
    before = evaluate_scores(model.eval()(val).detach(), candidates.select(split['val'])).mrr
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        model.loss(train, softmax_loss).backward()
        optimizer.step()
    model.eval()
    assert evaluate_scores(model(train).detach(), candidates.select(split['train'])).hits[1] > 0.9
    after = evaluate_scores(model(val).detach(), candidates.select(split['val'])).mrr
    assert after > max(before, 0.6)  # 0.46 by chance


@pytest.mark.parametrize('name', ['single_space', 'ghmfc'])
def test_is_trained_as_drin_is(name, tmp_path):
    tables, candidates, split, transform = texts_agree()
    data = CandidateDataModule(tables, candidates, split, max_pairs=40, context='mention', transform=transform)
    result = fit(small(name), data, tmp_path, lr=0.02, max_epochs=2, progress=False, accelerator='cpu')
    again = type(result.model).from_pretrained(tmp_path / 'model')
    assert predict(again, data).equal(predict(result.model, data))


@pytest.mark.parametrize('name', ['single_space', 'pair_network'])
def test_starts_where_drin_starts(name):
    tables, candidates, split, _ = texts_agree()
    models = [warm_start(model, tables, candidates, split['train']) for model in (small(name), DRIN(WIDTH, 16))]
    mine, theirs = (model.encoders.state_dict() for model in models)
    assert mine.keys() == theirs.keys()
    assert all(mine[key].equal(theirs[key]) for key in mine)


@pytest.mark.parametrize('name', [name for name in OPTIONS if needs_sequences(name)])
def test_batch_without_sequences(name, problem):
    batch = candidate_batch(problem.tables, problem.candidates)
    with pytest.raises(ValueError, match=r'reads tokens and regions.*transform=AddSequences'):
        build_baseline(name)(batch)
