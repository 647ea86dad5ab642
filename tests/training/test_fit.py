import csv
from dataclasses import replace

import pytest
import torch

from drin_pyg.evaluation import append_gold, evaluate_scores
from drin_pyg.features import MELData
from drin_pyg.graph import candidate_batch, forward_args
from drin_pyg.nn import DRIN, BatchScorer
from drin_pyg.nn.loss import margin_loss
from drin_pyg.training.checkpoint_file import read_checkpoint
from drin_pyg.training.data_module import CandidateDataModule
from drin_pyg.training.fit import fit, predict
from drin_pyg.training.lit_drin import LitDRIN, batch_loss, score_batch
from drin_pyg.training.recipe import Recipe
from drin_pyg.vocabulary import IMAGE_IMAGE, MENTION_IMAGE
from tests.training.tables import WIDTH, make_tables

OPTIONS = {'lr': 0.02, 'patience': 50, 'progress': False, 'accelerator': 'cpu'}


def make_model(**kwargs):
    torch.manual_seed(0)
    return DRIN(WIDTH, 8, **kwargs)


def make_data(**kwargs):
    return CandidateDataModule(*make_tables(), max_pairs=40, **kwargs)


def val_mrr(model, data):
    return evaluate_scores(predict(model, data, 'val'), data.candidates.select(data.split['val'])).mrr


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a, b):
    return list(a) == list(b) and all(a[name].equal(b[name]) for name in a)


def metrics_of(folder):
    with open(folder / 'metrics.csv') as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """One run of a few epochs that several tests look at."""
    folder = tmp_path_factory.mktemp('fit') / 'run'
    data, model = make_data(), make_model()
    before = val_mrr(model, data)
    return fit(model, data, folder, max_epochs=8, **OPTIONS), before, data


def test_learns(run):
    result, before, _ = run
    assert result.best_val_mrr > before + 0.2
    assert result.epochs == 8
    assert result.seconds > 0


def test_best_epoch_is_restored(run):
    result, _, data = run
    curve = [float(row['val_mrr']) for row in metrics_of(result.folder) if row['val_mrr']]
    assert len(curve) == 8
    assert result.best_val_mrr == pytest.approx(max(curve))
    assert val_mrr(result.model, data) == pytest.approx(max(curve))
    assert not result.model.training


def test_weights_are_those_of_the_best_checkpoint(run):
    result, *_ = run
    best = torch.load(result.folder / 'checkpoints' / 'best.ckpt', weights_only=True)
    assert same({f'model.{name}': value for name, value in state_of(result.model).items()}, best['state_dict'])
    assert best['epoch'] < 7  # training went on after it


def test_folder_holds_everything(run):
    result, *_ = run
    assert sorted(path.name for path in (result.folder / 'checkpoints').iterdir()) == ['best.ckpt', 'last.ckpt']
    assert {'train_loss', 'val_mrr', 'val_top1'} <= set(metrics_of(result.folder)[0])
    assert same(state_of(DRIN.from_pretrained(result.folder / 'model')), state_of(result.model))


def test_last_checkpoint_is_of_the_last_epoch_also_without_a_new_best(run):
    result, _, _ = run
    last = torch.load(result.folder / 'checkpoints' / 'last.ckpt', weights_only=True)
    best = torch.load(result.folder / 'checkpoints' / 'best.ckpt', weights_only=True)
    assert last['epoch'] == result.epochs - 1 > best['epoch']


def test_predicts_in_order(run):
    # The test split is in descending order, and a batch holds fewer pairs than there are.
    result, _, data = run
    data = make_data()
    data.max_pairs = 3
    batch = candidate_batch(data.tables, data.candidates, data.split['test'])
    torch.testing.assert_close(predict(result.model, data), result.model(**forward_args(batch)).detach())


def test_a_folder_with_a_run_is_refused(run):
    result, *_ = run
    with pytest.raises(FileExistsError, match='already holds a training run; resume it or name another folder'):
        fit(make_model(), make_data(), result.folder, max_epochs=1, **OPTIONS)


def test_resumed_run_equals_uninterrupted_one(tmp_path):
    whole = fit(make_model(), make_data(), tmp_path / 'whole', max_epochs=4, **OPTIONS)
    fit(make_model(), make_data(), tmp_path / 'parts', max_epochs=2, **OPTIONS)
    resumed = fit(make_model(), make_data(), tmp_path / 'parts', max_epochs=4, resume=True, **OPTIONS)
    assert resumed.epochs == 4
    assert resumed.best_val_mrr == whole.best_val_mrr
    assert same(state_of(resumed.model), state_of(whole.model))
    last = [torch.load(tmp_path / name / 'checkpoints' / 'last.ckpt', weights_only=True) for name in ('whole', 'parts')]
    assert same(last[0]['state_dict'], last[1]['state_dict'])


def test_resumed_run_keeps_its_curve(tmp_path):
    # Lightning's logger deletes the file that it finds.
    whole = fit(make_model(), make_data(), tmp_path / 'whole', max_epochs=3, **OPTIONS)
    fit(make_model(), make_data(), tmp_path / 'parts', max_epochs=1, **OPTIONS)
    resumed = fit(make_model(), make_data(), tmp_path / 'parts', max_epochs=3, resume=True, **OPTIONS)
    assert len(metrics_of(whole.folder)) > 2
    assert metrics_of(resumed.folder) == metrics_of(whole.folder)


class Killed(Exception):
    """What stands for a kill."""


def kill_after(monkeypatch, epoch):
    """Has training end right after an epoch's checkpoints were written."""
    def on_train_epoch_start(self):
        if self.current_epoch == epoch:
            raise Killed
        whole(self)

    whole = LitDRIN.on_train_epoch_start
    monkeypatch.setattr(LitDRIN, 'on_train_epoch_start', on_train_epoch_start)


class Dropping(BatchScorer):
    """Scores pairs by numbers of which half are left out, drawn anew in every batch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.drop, self.lin = torch.nn.Dropout(0.5), torch.nn.Linear(WIDTH, 1)

    def forward(self, batch):
        return self.lin(self.drop(torch.ones(batch.mention.numel(), WIDTH))).squeeze(1)


@pytest.mark.parametrize(('make', 'options'), [(make_model, {}), (Dropping, {}), (make_model, {'swap_images': 0.5})],
                         ids=['plain', 'dropout', 'swapped'])
def test_killed_after_an_epoch_it_ends_the_same(tmp_path, monkeypatch, make, options):
    whole = fit(make(), make_data(**options), tmp_path / 'whole', max_epochs=4, **OPTIONS)
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            fit(make(), make_data(**options), tmp_path / 'parts', max_epochs=4, **OPTIONS)
    assert len(metrics_of(tmp_path / 'parts')) == 2
    moved = (tmp_path / 'parts').rename(tmp_path / 'moved')  # which is no other run
    resumed = fit(make(), make_data(**options), moved, max_epochs=4, resume=True, **OPTIONS)
    assert same(state_of(resumed.model), state_of(whole.model))
    assert (moved / 'metrics.csv').read_bytes() == (tmp_path / 'whole' / 'metrics.csv').read_bytes()
    assert resumed.best_val_mrr == whole.best_val_mrr
    last = [torch.load(folder / 'checkpoints' / 'last.ckpt', weights_only=True)
            for folder in (moved, tmp_path / 'whole')]
    assert same(last[0]['state_dict'], last[1]['state_dict'])


def test_killed_after_it_was_stopped_it_is_not_trained_on(tmp_path):
    stopping = {**OPTIONS, 'patience': 1, 'lr': 0.0}
    whole = fit(make_model(), make_data(), tmp_path, max_epochs=30, **stopping)
    again = fit(make_model(), make_data(), tmp_path, max_epochs=30, resume=True, **stopping)
    assert (again.epochs, again.best_val_mrr) == (whole.epochs, whole.best_val_mrr) == (2, whole.best_val_mrr)
    assert len(metrics_of(tmp_path)) == 2


@pytest.mark.parametrize('name', ['last.ckpt', 'best.ckpt'])
def test_damaged_checkpoints_are_named(tmp_path, name):
    fit(make_model(), make_data(), tmp_path, max_epochs=1, **OPTIONS)
    path = tmp_path / 'checkpoints' / name
    whole = path.read_bytes()
    weights = next(iter(torch.load(path, weights_only=True)['state_dict'].values())).numpy().tobytes()
    for damaged in (whole[:-100], whole.replace(weights, weights[:-1] + b'\0'), b''):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{name}' is damaged: .*; remove the folder 'checkpoints'"):
            fit(make_model(), make_data(), tmp_path, max_epochs=1, resume=True, **OPTIONS)
        assert path.read_bytes() == damaged
    path.unlink()
    if name == 'best.ckpt':
        with pytest.raises(FileNotFoundError, match=r"best\.ckpt' is missing"):
            fit(make_model(), make_data(), tmp_path, max_epochs=1, resume=True, **OPTIONS)


@pytest.mark.parametrize('error', [PermissionError(13, 'Permission denied'), MemoryError()], ids=repr)
def test_what_the_system_refuses_is_no_damage(tmp_path, monkeypatch, error):
    def refuse(path):
        raise error

    (tmp_path / 'last.ckpt').touch()
    monkeypatch.setattr('drin_pyg.training.checkpoint_file.zipfile.ZipFile', refuse)
    with pytest.raises(type(error)) as refused:
        read_checkpoint(tmp_path / 'last.ckpt')
    assert refused.value is error


def test_same_seed_same_run_and_another_order_another(tmp_path):
    models = [fit(make_model(), make_data(seed=seed), tmp_path / name, max_epochs=1, **OPTIONS).model
              for name, seed in (('a', 0), ('b', 0), ('c', 1))]
    assert same(state_of(models[0]), state_of(models[1]))
    assert not same(state_of(models[0]), state_of(models[2]))


def test_resuming_nothing_is_starting(tmp_path):
    result = fit(make_model(), make_data(), tmp_path, max_epochs=1, resume=True, **OPTIONS)
    assert result.epochs == 1


def test_stops_when_validation_no_longer_improves(tmp_path):
    result = fit(make_model(), make_data(), tmp_path, max_epochs=30, **{**OPTIONS, 'patience': 1, 'lr': 0.0})
    assert result.epochs == 2


def test_widths_may_be_inferred_and_the_margin_loss_used(tmp_path):
    result = fit(DRIN.published(hidden_channels=8), make_data(context='mention'), tmp_path, loss='margin', max_epochs=1,
                 **OPTIONS)
    assert set(result.model.config()['in_channels'].values()) == {WIDTH}


def test_optimizer_is_adam():
    optimizer = LitDRIN(make_model(), lr=0.1).configure_optimizers()
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.defaults['lr'] == 0.1
    assert optimizer.defaults['weight_decay'] == 0


def test_unknown_loss():
    with pytest.raises(ValueError, match="'loss' must be one of margin, softmax, got 'hinge'"):
        LitDRIN(make_model(), 'hinge')


def test_unknown_split():
    with pytest.raises(ValueError, match="There is no split 'dev'; there are train, val, test"):
        predict(make_model(), make_data(), 'dev')


def test_training_batches_keep_the_budget_and_hold_every_mention_once():
    data = make_data()
    batches = list(data.train_dataloader())
    assert max(batch.entity.numel() for batch in batches) <= 40
    seen = torch.cat([batch.mention.unique() for batch in batches])
    assert sorted(seen.tolist()) == data.split['train'].tolist()
    assert seen.tolist() != data.split['train'].tolist()


class Constant(BatchScorer):
    """Scores everything alike, with a loss of its own."""

    def __init__(self):
        super().__init__()
        self.value = torch.nn.Parameter(torch.ones(()))

    def forward(self, batch):
        return self.value.expand(batch.mention.numel())

    def loss(self, batch, loss):
        return self.value.square()


def appended(tables, candidates, split):
    return append_gold(MELData(tables, candidates, split))


def test_appended_answers_are_in_the_graph_and_in_no_score(tmp_path):
    tables, candidates, split = make_tables()
    data = make_data(context='mention', appended=appended(tables, candidates, split))
    batch = next(iter(data.loader('train', train=True)))
    assert batch.mention.numel() == batch.scored.sum() + batch.mention.unique().numel()
    model = make_model(residual=False)
    scores = score_batch(model, batch)
    assert scores.shape == (int(batch.scored.sum()), )
    assert batch_loss(model, batch, margin_loss).equal(margin_loss(scores, batch.y[batch.scored],
                                                                   batch.mention[batch.scored]))
    result = fit(model, data, tmp_path, max_epochs=2, **OPTIONS)
    assert result.best_val_mrr == pytest.approx(val_mrr(result.model, data))
    assert predict(result.model, data).numel() == data.lists('test').num_pairs


def test_a_model_with_its_own_loss(tmp_path):
    tables, candidates, split = make_tables()
    result = fit(Constant(), make_data(), tmp_path / 'a', max_epochs=2, **OPTIONS)
    assert abs(result.model.value.item()) < 1
    assert not (tmp_path / 'a' / 'model').exists()  # it does not say how to save it
    with pytest.raises(ValueError, match='Constant has a loss of its own, which cannot leave out appended answers'):
        fit(Constant(), make_data(appended=appended(tables, candidates, split)), tmp_path / 'b', **OPTIONS)


def test_images_are_swapped_anew_every_epoch_in_training_alone(tmp_path):
    tables, candidates, split = make_tables()
    data, plain, seen = make_data(swap_images=0.5), make_data(), []

    class Watch(DRIN):
        def forward(self, x_dict, **others):
            if self.training and torch.is_grad_enabled():
                rows = x_dict[MENTION_IMAGE]
                seen.append({int(i) for row in rows for i in (tables.x[MENTION_IMAGE] == row).all(1).nonzero()})
            return super().forward(x_dict, **others)

    torch.manual_seed(0)
    result = fit(Watch(WIDTH, 8), data, tmp_path, max_epochs=3, **OPTIONS)
    # Every epoch sees a part of the images, none of other splits, and not the same part.
    batches = len(seen) // 3
    epochs = [set.union(*seen[i:i + batches]) for i in range(0, len(seen), batches)]
    train = set(split['train'].tolist())
    assert all(0 < len(epoch) < len(train) and epoch < train for epoch in epochs)
    assert len({frozenset(epoch) for epoch in epochs}) == 3
    assert predict(result.model, data, 'val').equal(predict(result.model, plain, 'val'))
    given = replace(candidates, weight={IMAGE_IMAGE: torch.zeros(candidates.num_pairs)})
    with pytest.raises(ValueError, match='image_image are given per pair'):
        CandidateDataModule(tables, given, split, swap_images=0.5)


def test_a_recipe_names_its_relations():
    tables, candidates, split = make_tables()
    recipe = Recipe(model={'hidden_channels': 8, 'relations': [IMAGE_IMAGE[1]]}, warm_start=False)
    assert recipe.build(tables, candidates, split['train'], 0).edge_types == [IMAGE_IMAGE]
