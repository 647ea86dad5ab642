"""Each benchmark runs in its quick size and writes records that parse and a figure; no time is looked at."""

import importlib
import json

import pytest
import torch

from tests.benchmarks import scripts  # noqa: F401

SCRIPTS = {
    'candidate_scaling': {'ours', 'dense, as published', 'floor: the products alone'},
    'training_step': {'ours', 'dense, as published', 'floor: the products alone'},
    'index_build': {'floor: encoders and first layer, products alone', 'EntityIndex.load'},
    'batch_building': {'candidate_batch, compact', 'Batch.from_data_list alone', 'training step of DRIN.published()'},
    'layer_speed': {'DRINConv (vertices and edges)', 'EdgeIndex.matmul', 'HGTConv (no edge attributes)'},
}


def run(name, folder, *options):
    """The records of a benchmark, and its figure's first bytes."""
    importlib.import_module(name).main(
        ['--quick', '--json', str(folder / 'out.jsonl'), '--plot', str(folder / 'out.png'), *options])
    records = [json.loads(line) for line in (folder / 'out.jsonl').read_text().splitlines()]
    return records, (folder / 'out.png').read_bytes()[:4]


@pytest.mark.parametrize('name', SCRIPTS)
def test_runs_and_writes(name, tmp_path, capsys):
    records, figure = run(name, tmp_path)
    assert figure == b'\x89PNG'
    assert {record['side'] for record in records} >= SCRIPTS[name]
    for record in records:
        assert record['benchmark'] == name
        assert 0 < record['ms_low'] <= record['ms'] <= record['ms_high']
        assert {'torch', 'torch_geometric', 'torch_scatter', 'processor', 'cores', 'threads', 'gpu'} \
            <= set(record['machine'])
        assert {'device', 'rounds', 'title', 'peak_bytes'} <= set(record)
    printed = capsys.readouterr().out
    assert all(record['side'] in printed for record in records)
    assert torch.__version__ in printed


def test_candidate_scaling_says_what_it_measured(tmp_path):
    records, _ = run('candidate_scaling', tmp_path, '--weights', 'given', '--context', 'mention', '--dense-pairs', '20',
                     '--pairs', '30', '--dim', '8')
    assert [(record['mentions'], record['candidates'], record['side']) for record in records] == [
        (15, 2, 'ours'), (15, 2, 'floor: the products alone'), (1, 20, 'ours'), (1, 20, 'dense, as published'),
        (1, 20, 'floor: the products alone')]  # 30 pairs are too many for the dense side
    ours, dense, floor = records[2:]
    assert ours['largest_difference'] < 1e-5
    assert ours['workspace_bytes'] > 0
    assert ours['times_faster_than_dense'] == pytest.approx(dense['ms'] / ours['ms'])
    assert ours['fraction_of_floor'] == pytest.approx(floor['ms'] / ours['ms'])
    assert ours['us_per_pair'] == pytest.approx(1e3 * ours['ms'] / 20)
    assert (ours['weights'], ours['context'], ours['dtype'], ours['num_pairs']) == ('given', 'mention', 'float32', 20)
    assert ours['dim'] == 8  # what is given has its say over --quick


@pytest.mark.parametrize(('option', 'message'), [
    (['--device', 'cuda:97'], '--device cuda:97 is not there'),
    (['--scatter', 'on'], '--scatter on needs torch_scatter'),
    (['--dtype', 'int8'], 'invalid choice'),
])
def test_what_is_not_there_is_named(option, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('torch_geometric.typing.WITH_TORCH_SCATTER', False)
    with pytest.raises(SystemExit):
        run('layer_speed', tmp_path, *option)
    assert message in capsys.readouterr().err


def test_memory_growth():
    memory = importlib.import_module('memory')
    for _ in range(2):  # memory that was freed counts again
        growth = memory.peak_growth(lambda: [torch.ones(2**20) for _ in range(8)])  # 32 MiB
        assert growth is None or growth == pytest.approx(2**25, rel=0.2)


def test_floor_counts_what_each_pair_needs():
    synthetic = importlib.import_module('synthetic')
    model = synthetic.make_model(4, 2, 0.01)
    assert [synthetic.floor_products(model, context) for context in ('pair', 'mention')] == [2, 1]
    assert synthetic.floor_products(synthetic.make_model(4, 1, 0.01), 'pair') == 0
    floor = synthetic.Floor(10, 4, 3, torch.float32, 'cpu', block=8)
    floor()
    assert floor.out[:6].equal((floor.x @ floor.weight)[:6])  # the last of 30 rows in blocks of 8


def test_real_features_in_half_precision(run_folder, tmp_path):
    records, _ = run('candidate_scaling', tmp_path, '--real', 'emoji', str(run_folder), '--dtype', 'bfloat16')
    same = {record['context']: record['same_top1'] for record in records if 'same_top1' in record}
    assert set(same) == {'pair', 'mention'}
    assert all(0.9 < share <= 1 for share in same.values())
    assert {record['side'] for record in records if 'side' in record} == {'ours'}  # no product a pair


def records_of(name, folder, *options):
    """The records of a benchmark that draws nothing."""
    importlib.import_module(name).main(['--quick', '--json', str(folder / 'out.jsonl'), *options])
    return [json.loads(line) for line in (folder / 'out.jsonl').read_text().splitlines()]


def test_an_index_larger_than_the_memory_it_may_take(tmp_path):
    records = records_of('larger_than_memory', tmp_path, '--folder', str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ['out.jsonl']  # the index is gone
    same = [record['same'] for record in records if 'same' in record]
    assert same == [True] * 5
    assert records[-1]['title'].endswith('best 10 of all the same')
    assert float(records[-1]['title'].split('scores ')[1].split(',')[0]) < 1e-5
    assert {record['limit'] for record in records if 'limit' in record} == {2**20, None}
    assert all(record['growth'] > 0 and record['ms'] > 0 for record in records if 'growth' in record)


def test_bulk_linking_against_the_bare_scorer(tmp_path):
    sides = {record['side']: record for record in records_of('bulk_linking', tmp_path)}
    assert set(sides) == {'floor: CandidateScorer, features and lists in memory', 'link_table, table in memory',
                          'engine local, parquet to parquet'}
    for record in sides.values():
        assert record['us_per_pair'] == pytest.approx(1e3 * record['ms'] / (24 * 5))
