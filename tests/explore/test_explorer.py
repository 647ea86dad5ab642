from dataclasses import replace

import pytest

from drin_pyg.datasets import Picture, PictureError
from drin_pyg.evaluation import evaluate_scores
from drin_pyg.explore import Explorer
from drin_pyg.explore.page import KINDS, find
from drin_pyg.explore.view import graph_html, marked, mentions_html, ranking_html
from drin_pyg.training import Recipe, data_module, predict
from drin_pyg.vocabulary import RELATIONS

SWAN = 'A white bird with a long neck swam on the lake.'


@pytest.fixture(scope='module')
def explorer(run_folder):
    return Explorer.from_pretrained(run_folder)


@pytest.fixture(scope='module')
def judging(calibrated):
    return Explorer(calibrated)


def test_ranks_as_the_linker_does(judging, picture):
    opened = judging.open(SWAN, 'bird', picture)
    ranking = judging.rank(opened)
    link = judging.linker.link(SWAN, 'bird', picture, k=32)
    assert [c.linked.entity.id for c in ranking.candidates] == [c.entity.id for c in link.candidates]
    for seen, expected in zip(ranking.candidates, link.candidates, strict=True):
        assert seen.linked.score == pytest.approx(expected.score, abs=1e-4)
        assert seen.linked.probability == pytest.approx(expected.probability, abs=1e-4)
        assert sum(seen.terms.values()) == pytest.approx(expected.score, abs=1e-4)
        for name, weights in expected.weights.items():
            assert seen.linked.weights[name] == pytest.approx(weights, abs=1e-5)
        assert seen.place == seen.place_before
        assert seen.is_answer is None
    assert (ranking.nil, ranking.changed) == (link.nil, False)
    assert ranking.confidence == pytest.approx(link.confidence, abs=1e-4)


def test_sliding_a_relation_down_changes_the_ranking(explorer, picture):
    opened = explorer.open(SWAN, 'bird', picture)
    assert explorer.rank(opened).candidates[0].linked.entity.name == 'swan'
    without = explorer.rank(opened, {'image_image': 0.0, 'image_text': 0.0})
    assert without.changed
    assert without.candidates[0].linked.entity.name != 'swan'
    for candidate in without.candidates:
        assert candidate.terms['image_image'] == 0
        assert opened.places[candidate.pair] == candidate.place_before
        assert candidate.linked.weights['image_image'][0] == 0
    assert any(candidate.place != candidate.place_before for candidate in without.candidates)


def test_an_unknown_relation_is_an_error(explorer):
    with pytest.raises(KeyError, match="no relation 'nonsense'; there are text_text"):
        explorer.rank(explorer.open_row(0), {'nonsense': 1.0})


def test_a_mention_of_the_data_has_its_own_candidates_and_answer(explorer):
    data = explorer.data
    row = int(data.split['test'][5])
    opened = explorer.open_row(row)
    ranking = explorer.rank(opened)
    assert {c.linked.entity.id for c in ranking.candidates} == set(data.mentions[row].candidates)
    assert [c.linked.entity.id for c in ranking.candidates if c.is_answer] == [data.mentions[row].answer]
    with pytest.raises(IndexError, match='no mention 999999'):
        explorer.open_row(999999)


def test_judges_a_split_as_evaluation_does(judging):
    judged = judging.judge('test')
    data = judging.data
    module = data_module(data, Recipe())
    metrics = evaluate_scores(predict(judging.model, module, 'test'), module.lists('test'))
    assert sum(j.rank == 1 for j in judged) / len(judged) == pytest.approx(metrics.hits[1])
    assert [j.row for j in judged] == data.split['test'].tolist()
    assert {(j.chosen == j.answer) for j in judged if j.rank == 1} == {True}
    wrong, called, right, every = (find(judging, 'test', kind) for kind in KINDS)
    assert len(wrong) + len(called) + len(right) == len(every) == len(judged)
    assert all(j.chosen != j.answer and not j.nil for j in wrong)
    assert all(j.nil for j in called)
    assert [j.probability for j in wrong] == sorted((j.probability for j in wrong), reverse=True)
    with pytest.raises(ValueError, match="no split 'dev'"):
        judging.judge('dev')


def test_finds_words(explorer):
    found = find(explorer, 'test', 'all', 'SWAN bird')
    assert found
    data = explorer.data
    for judged in found:
        mention = data.mentions[judged.row]
        text = ' '.join([mention.sentence, mention.surface, data.entities[judged.chosen].name,
                         data.entities[judged.answer].name]).casefold()
        assert 'swan' in text
        assert 'bird' in text
    assert find(explorer, 'test', 'all', 'swan xyzzy') == []


@pytest.mark.parametrize(('sentence', 'mention', 'match'), [
    ('', 'bird', 'sentence is empty'), ('  ', 'bird', 'sentence is empty'), (SWAN, '', 'mention is empty')])
def test_empty_text(explorer, sentence, mention, match):
    with pytest.raises(ValueError, match=match):
        explorer.open(sentence, mention)


def test_bad_picture(explorer, tmp_path):
    path = tmp_path / 'broken.png'
    path.write_bytes(b'\x89PNG\r\n\x1a\n broken')
    with pytest.raises(PictureError):
        explorer.open(SWAN, 'bird', path)


def test_the_marked_occurrence_is_the_mention(explorer):
    opened = explorer.open('bird or bird', 'bird', start=8)
    assert marked(opened.mention) == ('bird or ', 'bird', '')


HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(2)>${alert(3)}{{4}}"\''


@pytest.mark.parametrize('where', ['mention', 'entity'])
def test_all_text_is_escaped(explorer, where):
    opened = explorer.open_row(int(explorer.data.split['test'][0]))
    ranking = explorer.rank(opened)
    if where == 'mention':
        ranking = replace(ranking, mention=replace(ranking.mention, surface=HOSTILE, sentence=HOSTILE))
    else:
        first = ranking.candidates[0]
        entity = replace(first.linked.entity, name=HOSTILE, description=HOSTILE)
        ranking.candidates[0] = replace(first, linked=replace(first.linked, entity=entity))
    picked = ranking.candidates[0].pair
    for page in (ranking_html(ranking, picked), graph_html(ranking, picked, {})):
        assert '<script' not in page
        assert '<img src=x' not in page
    assert 'alert' in graph_html(ranking, picked, {}) + ranking_html(ranking, picked)


def test_a_picture_that_cannot_be_used_is_missing_as_it_was_for_the_model(explorer, tmp_path):
    opened = explorer.open_row(int(explorer.data.split['test'][0]))
    ranking = explorer.rank(opened)
    picked = ranking.candidates[0].pair
    assert 'no image' not in graph_html(ranking, picked, {})
    ranking = replace(ranking, mention=replace(ranking.mention, pictures=(Picture(tmp_path / 'gone.png'), )))
    assert 'no image' in graph_html(ranking, picked, {})


def test_a_mention_that_is_not_in_its_sentence_is_not_marked(explorer):
    opened = explorer.open('It swam on the lake.', 'bird')
    assert marked(opened.mention) == ('It swam on the lake.', '', '')


def test_relations_are_those_of_the_model(explorer):
    assert explorer.relations == list(RELATIONS)


def test_nothing_to_rank(explorer):
    data = explorer.data
    empty = replace(explorer.open_row(0), lists=data.candidates.select(data.split['test'][:0]))
    # A list without candidates: one mention, no pair.
    lists = type(data.candidates).from_lists([[]])
    ranking = explorer.rank(replace(empty, lists=lists))
    assert ranking.candidates == []
    assert 'No candidates' in ranking_html(ranking, 0)
    assert graph_html(ranking, 0, {}) == ''


@pytest.mark.parametrize(('count', 'answer', 'note', 'cards'), [
    (12, 11, 'Percent: probability if one of these', 12),
    (13, 12, 'Percent: probability if one of these', 13),
    (20, 3, 'The best 12 of 20 candidates; percent', 12),
    (20, 19, 'The best 12 of 20 candidates, and the answer; percent', 13)])
def test_how_many_candidates_are_shown_is_said(explorer, count, answer, note, cards):
    ranking = explorer.rank(explorer.open_row(int(explorer.data.split['test'][0])))
    candidates = [replace(ranking.candidates[i % len(ranking.candidates)], is_answer=i == answer) for i in range(count)]
    page = ranking_html(replace(ranking, candidates=candidates), -1)
    assert f'<p class="ex-note">{note}' in page
    assert page.count('data-pick=') == cards


def test_half_a_surrogate_pair_is_escaped(explorer):
    opened = explorer.open_row(int(explorer.data.split['test'][0]))
    ranking = explorer.rank(opened)
    first = ranking.candidates[0]
    entity = replace(first.linked.entity, name='bird \ud83d', description='\udc00 a bird')
    ranking.candidates[0] = replace(first, linked=replace(first.linked, entity=entity))
    for page in (ranking_html(ranking, first.pair), graph_html(ranking, first.pair, {})):
        assert 'bird \\ud83d' in page
        page.encode()


def test_mentions_show_answer_and_choice(explorer):
    found = find(explorer, 'test', 'linked wrong')
    page = mentions_html(found, explorer.data)
    first = found[0]
    assert f'data-pick="{first.row}"' in page
    for row in (first.chosen, first.answer):
        assert explorer.data.entities[row].name.split(':')[0] in page.replace('&amp;', '&')
    assert 'none' in mentions_html([], explorer.data)
