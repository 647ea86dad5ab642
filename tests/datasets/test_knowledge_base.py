import numpy as np
import pytest

from drin_pyg.datasets import Entity, EntityList

PARIS, TEXAS, ROME = Entity('Q1', 'Paris'), Entity('Q2', 'Paris'), Entity('Q3', 'Rome')


def test_a_sequence():
    entities = EntityList(iter([PARIS, TEXAS, ROME]))
    assert (len(entities), entities.num_duplicates) == (3, 0)
    assert list(entities) == [PARIS, TEXAS, ROME]
    assert (entities[0], entities[-1], entities[1:]) == (PARIS, ROME, [TEXAS, ROME])
    assert TEXAS in entities
    with pytest.raises(IndexError):
        entities[3]


def test_of_one_id_the_first_counts_and_keeps_its_place():
    entities = EntityList([PARIS, TEXAS, Entity('Q1', 'Another'), ROME, Entity('Q1', 'Third')])
    assert (list(entities), entities.num_duplicates) == ([PARIS, TEXAS, ROME], 2)


@pytest.mark.parametrize(('ids', 'rows'), [
    (['Q3', 'Q1'], [2, 0]), (['Q9'], [-1]), (['Q1', 'Q9', 'Q1'], [0, -1, 0]), ([], []), (['q1', ''], [-1, -1]),
])
def test_rows(ids, rows):
    found = EntityList([PARIS, TEXAS, ROME]).rows(ids)
    assert (found.tolist(), found.dtype) == (rows, np.int64)


def test_empty():
    assert (len(EntityList([])), list(EntityList([])), EntityList([]).rows(['Q1']).tolist()) == (0, [], [-1])
