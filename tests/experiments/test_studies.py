import pytest

from drin_pyg.experiments import STUDIES, Variant, make_study
from drin_pyg.experiments.ablate import run_folder
from drin_pyg.experiments.studies import BASELINES, SWAPPED
from drin_pyg.training import Recipe
from drin_pyg.vocabulary import RELATIONS


@pytest.mark.parametrize('base', [Recipe(), Recipe.paper()], ids=['best', 'published'])
@pytest.mark.parametrize('name', STUDIES)
def test_every_study_has_its_base_and_distinct_names(name, base):
    study = make_study(name, base)
    names = [variant.name for variant in study.variants]
    assert study.base in names
    assert len(names) == len(set(names)) > 1
    assert study.question.endswith(('?', '.)'))


def test_relations_are_left_out_and_left_alone():
    kept = [set(v.recipe.model.get('relations', RELATIONS)) for v in make_study('relations', Recipe()).variants]
    everything = set(RELATIONS)
    assert kept == [everything, *(everything - {name} for name in RELATIONS), *({name} for name in RELATIONS)]


def test_the_other_studies_change_what_they_say():
    def models(name):
        return [variant.recipe.model for variant in make_study(name, Recipe()).variants[1:]]

    assert models('depth') == [{'num_layers': n} for n in range(6)]
    assert models('edges') == [{'dynamic': False}, {'vector_edges': True}]
    assert models('sharing') == [{'shared': True}, {'shared': False}]
    assert [v.recipe.context for v in make_study('context', Recipe()).variants[1:]] == ['pair', 'mention']
    assert [v.recipe.loss for v in make_study('loss', Recipe()).variants[1:]] == ['softmax', 'margin']
    assert {v.scorer for v in make_study('baselines', Recipe()).variants} == {'drin', *BASELINES}
    swapped = make_study('swapped', Recipe()).variants[1:]
    assert {v.test_swapped for v in swapped} == {SWAPPED}
    assert {(v.swapped, v.recipe.swap_images) for v in swapped} == {(0.0, 0.0), (0.4, 0.0), (0.0, 0.4)}
    assert [(v.recipe.context, v.recipe.gold_appended) for v in make_study('protocol', Recipe()).variants[1:]] \
        == [('pair', False), ('pair', True), ('mention', False), ('mention', True)]


def test_a_run_is_named_by_what_it_does(tmp_path):
    base = Variant('DRIN')
    assert run_folder(tmp_path, base, 0) == run_folder(tmp_path, base.changed('pair context'), 0)
    assert run_folder(tmp_path, base, 0) == run_folder(tmp_path, base.changed('shared', {'shared': True}), 0)
    others = [base.changed('a', {'dynamic': False}), base.changed('b', recipe={'loss': 'margin'}),
              base.changed('c', scorer='ghmfc'), base.changed('d', extra=('name', )), base.changed('e', swapped=0.2),
              base.changed('f', source='other')]
    folders = {run_folder(tmp_path, variant, 0) for variant in [base, *others]}
    assert len(folders) == 7
    assert run_folder(tmp_path, base, 0) != run_folder(tmp_path, base, 1)


def test_nonsense_is_named():
    with pytest.raises(ValueError, match="no study 'x'; there are edges, relations"):
        make_study('x', Recipe())
