import csv
import io

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from drin_pyg.evaluation import paired_test
from drin_pyg.experiments import Study, StudyTable, Variant
from drin_pyg.experiments.table import NOTHING, Line, p_value
from drin_pyg.experiments.write_study import curves, write_study

STUDY = Study('things', 'Which thing?', (Variant('base'), Variant('other')), 'base')


@pytest.fixture
def folders(tmp_path):
    """Two variants, two seeds, five mentions; the second is also tested under another condition."""
    ranks = {
        'base': [[1, 2, 1, np.inf, 1], [1, 1, 1, np.inf, 1]],
        'other': [[1, 2, 2, np.inf, 3], [2, 2, 1, np.inf, 1]],
    }
    folders = {}
    for name, seeds in ranks.items():
        folders[name] = [tmp_path / 'runs' / name / str(seed) for seed in range(2)]
        for folder, rank in zip(folders[name], seeds, strict=True):
            folder.mkdir(parents=True)
            more = {'test, 20% swapped': np.array([2.0, 2, 2, 2, 2])} if name == 'other' else {}
            save_file({'test': np.array(rank, float), 'val': np.array([1.0, 2, 1, 1]), **more},
                      folder / 'ranks.safetensors')
            (folder / 'result.json').write_text('{"seconds": 2.0, "parameters": 10}')
    return folders


@pytest.fixture
def table(folders):
    return StudyTable.read(STUDY, folders)


def test_figures_by_hand(table):
    base, other, swapped = table.rows()
    assert (base['variant'], base['condition'], base['seeds']) == ('base', 'test', 2)
    assert base['top1'] == pytest.approx(7 / 10)
    assert base['error'] == pytest.approx(np.std([1, .5, 1, 0, 1]) / 5**.5)
    assert base['seed_error'] == pytest.approx(np.std([.6, .8], ddof=1) / 2**.5)
    assert base['mrr'] == pytest.approx((1 + .5 + 1 + 0 + 1 + 4) / 10)
    assert base['val_top1'] == 0.75
    assert base['p'] is None
    assert other['top1'] == pytest.approx(3 / 10)
    assert other['difference'] == pytest.approx(-0.4)
    difference = np.array([.5, 0, .5, 0, .5]) - np.array([1, .5, 1, 0, 1])
    assert other['difference_error'] == pytest.approx(difference.std() / 5**.5)
    assert other['p'] == paired_test([.5, 0, .5, 0, .5], [1, .5, 1, 0, 1])
    assert other['q'] == other['p']
    assert (swapped['condition'], swapped['top1'], swapped['difference']) == ('test, 20% swapped', 0, None)
    assert (base['parameters'], base['seconds']) == (10, 2.0)


def test_forms_say_the_same(table):
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert [row['variant'] for row in rows] == ['base', 'other', 'other']
    assert float(rows[1]['difference']) == pytest.approx(-0.4)
    assert rows[0]['p'] == ''
    assert '| base | test | 2 | 70.0 ± 17.9 |' in table.markdown()
    assert 'Which thing?' in table.format()
    assert '-40.0 ± 8.9' in table.format()


def test_q_is_not_below_p():
    study = Study('s', '?', tuple(Variant(name) for name in 'abcd'), 'a')
    generator = np.random.default_rng(0)
    lines = [Line(v, 'test', (generator.random((1, 80)) < chance).astype(float), .5, .5, None, 1.0)
             for v, chance in zip(study.variants, (.9, .6, .8, .9), strict=True)]
    rows = StudyTable(study, lines).rows()[1:]
    assert all(row['q'] >= row['p'] for row in rows)
    assert rows[0]['p'] < 0.01
    assert rows[2]['p'] > 0.05


def test_files(table, tmp_path):
    write_study(table, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) \
        == ['things.csv', 'things.md', 'things.png', 'things.svg']
    assert (tmp_path / 'things.png').read_bytes()[:4] == b'\x89PNG'
    assert '70.0 ± 17.9' in (tmp_path / 'things.md').read_text()


def test_curves_have_a_panel_for_each_training_and_a_line_for_each_system():
    base = Variant('DRIN', test_swapped=(0.0, 0.4))
    variants = [base, *(base.changed(f'{name}, {share} swapped in training') for name in ('DRIN', 'fusion')
                        for share in ('0%', '40%'))]
    hit = np.array([[1., 0, 1]])
    lines = [Line(variant, condition, hit, .5, .5, None, 1.0) for variant in variants
             for condition in ('test', 'test, 40% swapped')]
    figure = curves(StudyTable(Study('swapped', '?', tuple(variants), 'DRIN'), lines))
    assert [axes.get_title() for axes in figure.axes] == ['0% swapped in training', '40% swapped in training']
    labels = [[container.get_label() for container in axes.containers] for axes in figure.axes]
    assert labels == [['DRIN', 'fusion']] * 2
    assert figure.axes[0].lines[0].get_xdata().tolist() == [0, 40]


@pytest.mark.parametrize(('p', 'expected'), [(None, NOTHING), (0.0002, '< .001'), (0.0312, '.031'), (1.0, '1.000')])
def test_p_value(p, expected):
    assert p_value(p) == expected


@pytest.mark.parametrize(('file', 'content', 'message'), [
    ('result.json', b'{"parameters": 10}', "'seconds'"),
    ('result.json', b'{"seconds": "long"}', 'its figures are no numbers'),
    ('result.json', b'{"seconds": 1, "files": {"../x": {}}}', "'../x' names no file"),
    ('result.json', b'[]', 'no JSON object'),
    ('ranks.safetensors', b'rank', 'no readable tensor file'),
    ('ranks.safetensors', save({'test': np.ones(5)}), 'its ranks are none'),
    ('ranks.safetensors', save({'test': np.zeros(5), 'val': np.ones(4)}), 'its ranks are none'),
    ('ranks.safetensors', save({'test': np.full(5, np.nan), 'val': np.ones(4)}), 'its ranks are none'),
    ('ranks.safetensors', save({'test': np.ones(4), 'val': np.ones(4)}), 'tested on other mentions'),
    ('ranks.safetensors', save({'val': np.ones(4)}), 'tested on other mentions'),
])
def test_a_run_that_is_not_what_was_written_is_named(folders, file, content, message):
    folder = folders['base'][1]
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=f"The run in '{folder}' .*{message}.*remove that folder"):
        StudyTable.read(STUDY, folders)


def test_a_missing_file_is_named(folders):
    path = folders['other'][0] / 'ranks.safetensors'
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"'{path}' is missing"):
        StudyTable.read(STUDY, folders)
