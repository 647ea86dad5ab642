import pytest

from drin_pyg.features import MELData
from drin_pyg.files import write_record
from drin_pyg.training import EMOJI, Recipe, load_run, read_curve, train_run
from drin_pyg.training.run import save_run
from tests.training.tables import make_tables


def train(folder, splits=('train', 'val')):
    tables, candidates, split = make_tables()
    data = MELData(tables, candidates, {name: split[name] for name in splits})
    return train_run(data, EMOJI, Recipe(max_epochs=1), folder, progress=False, accelerator='cpu')


@pytest.mark.parametrize(('splits', 'missing', 'there'), [
    (('train', 'test'), 'val', 'train, test'), (('val', ), 'train', 'val'), ((), 'train', 'none at all')])
def test_a_split_that_training_needs_is_named(tmp_path, splits, missing, there):
    with pytest.raises(ValueError, match=f"of the split '{missing}', but training needs some; there are {there}$"):
        train(tmp_path / 'run', splits)
    assert not (tmp_path / 'run').exists()


def write_checkpoint(folder):
    (folder / 'checkpoints').mkdir()
    (folder / 'checkpoints' / 'last.ckpt').touch()


@pytest.mark.parametrize('write', [lambda folder: save_run(folder, Recipe(), EMOJI), write_checkpoint],
                         ids=['finished', 'begun'])
def test_a_run_that_does_not_say_what_it_was_to_become_is_left_alone(tmp_path, write):
    write(tmp_path)
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(FileExistsError, match='already holds a training run; resume it or name another folder'):
        train(tmp_path)
    assert sorted(tmp_path.rglob('*')) == before


@pytest.mark.parametrize(('asked', 'message'), [
    ({}, "'recipe'"), ({'recipe': []}, 'it names no recipe'), ({'recipe': {}}, 'it names no recipe'),
    ({'recipe': {'max_epochs': '3'}}, 'it names no recipe'), ({'recipe': {'max_epochs': True}}, 'it names no recipe')])
def test_a_askedwithout_a_recipe_is_named(tmp_path, asked, message):
    write_record(tmp_path / 'request.json', asked)
    with pytest.raises(ValueError, match=rf"request\.json' cannot be read: {message}; train again, in another folder"):
        train(tmp_path)


@pytest.mark.parametrize('source', [5, None, ['emoji'], 'a\0b'])
def test_a_run_whose_data_has_no_name_is_named(tmp_path, source):
    Recipe().save(tmp_path / 'recipe.yaml')
    write_record(tmp_path / 'run.json', {'data': source})
    with pytest.raises(ValueError, match=r"run\.json' cannot be read: 'data' is .*; train again"):
        load_run(tmp_path)


def test_a_curve_has_a_record_for_each_epoch(tmp_path):
    # Lightning writes a line after training and another one after validation.
    (tmp_path / 'metrics.csv').write_text('epoch,step,train_loss,val_mrr\n0,9,0.5,\n0,9,,0.25\n1,19,0.4,\n')
    assert read_curve(tmp_path) == [{'epoch': 1, 'train_loss': 0.5, 'val_mrr': 0.25}, {'epoch': 2, 'train_loss': 0.4}]


@pytest.mark.parametrize('content', [
    b'epoch,val_mrr\nx,0.5\n', b'epoch,val_mrr\n0,high\n', b'step,val_mrr\n0,0.5\n', b'val_mrr,epoch\n0.5\n',
    b'epoch,val_mrr\n0,\xff\n', b'epoch,val_mrr\n0,0.5,0.6\n'])
def test_what_is_no_curve_is_named(tmp_path, content):
    (tmp_path / 'metrics.csv').write_bytes(content)
    with pytest.raises(ValueError, match=rf"'{tmp_path / 'metrics.csv'}' is no training curve: "):
        read_curve(tmp_path)


def test_a_run_without_a_curve(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'metrics\.csv'):
        read_curve(tmp_path)
