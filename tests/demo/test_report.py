"""The report: every section, no text taken for markup, missing numbers, a headline that claims no more than it may."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from drin_pyg.datasets import EmojiMEL, Entity, Mention
from drin_pyg.demo.figures import separation, weights_figure
from drin_pyg.demo.report import format_table, write_report
from drin_pyg.demo.results import Candidate, EdgeWeights, Example, Results, System
from drin_pyg.demo.table import summary
from drin_pyg.vocabulary import RELATIONS

NAN = float('nan')
NUM_MENTIONS = 40
HOSTILE = 'a "quoted" <script>alert(1)</script> & \'smile\' {{ 7 * 7 }}'
VOID = {'meta', 'img', 'br', 'link'}


class Page(HTMLParser):
    """Collects ids, tags, attributes and text, and checks that elements are closed in order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.ids, self.sources, self.rows, self.text = [], [], [], [], [], ''
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.ids += [attrs['id']] if 'id' in attrs else []
        self.sources += [attrs[name] for name in ('src', 'href', 'xlink:href') if name in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def system(name, group, hits, seeds=1, **kwargs):
    hit = np.zeros((seeds, NUM_MENTIONS))
    hit[:, :hits] = 1
    return System(name, group, hit, np.where(hit == 1, 1.0, 0.5), **kwargs)


def candidate(entity, is_answer, weights):
    return Candidate(entity, 1.0, 0.25, is_answer, dict(zip(RELATIONS, weights, strict=True)))


@pytest.fixture(scope='module')
def results():
    dataset = EmojiMEL(split='test')
    entities = {entity.id: entity for entity in dataset.entities}
    mention = dataset.mentions[0]
    answer = entities[mention.answer]
    others = [entities[id_] for id_ in mention.candidates if id_ != mention.answer][:2]
    bare = Entity('x', 'no <b>picture</b>')
    generator = np.random.default_rng(0)
    full, gap = [[0.9, 0.8]] * 4, [[0.1, 0.2], [NAN, NAN], [0.5, 0.5], [0.3, NAN]]
    return Results(
        systems=[
            System('random', 'baseline', np.full((1, NUM_MENTIONS), 1 / 32), np.full((1, NUM_MENTIONS), 0.1)),
            system('late fusion, sum', 'baseline', 20, val_top1=0.5),
            system('late fusion, logistic', 'baseline', 24, val_top1=0.61, seconds=1.4),
            system('DRIN as published', 'published', 10, seeds=2, p_value=0.0002, val_top1=0.25, seconds=1234.5),
            system('DRIN | best', 'best', 32, seeds=3, p_value=0.0123, val_top1=0.8, seconds=99),
            system('without <i>anything</i> ' + 'x' * 90, 'ablation', 8, p_value=NAN),
        ],
        curve=[{'epoch': epoch, 'train_loss': 2 / epoch, 'val_mrr': NAN if epoch == 2 else 0.5, 'val_top1': 0.4}
               for epoch in (1, 2, 3)],
        edge_weights=[EdgeWeights(relation, depth, generator.normal(0.6, 0.1, 40),
                                  np.append(generator.normal(0.4, 0.1, 200), NAN))
                      for depth in (0, 1) for relation in list(RELATIONS)[:3]]
        + [EdgeWeights(list(RELATIONS)[3], depth, np.full(3, NAN), np.zeros(0)) for depth in (0, 1)],
        examples=[
            Example(mention, 1, [candidate(answer, True, full), candidate(others[0], False, gap)]),
            Example(Mention('h', 'smile', HOSTILE), 9,
                    [candidate(bare, False, gap), candidate(others[1], False, full), candidate(answer, True, gap)]),
            Example(replace(mention, surface=''), 1, [candidate(answer, True, full)]),
        ],
        num_mentions=NUM_MENTIONS,
        num_entities=1799,
        settings={'torch': '2.11', 'Machine <x>': 'a & b'},
        seconds=75.2,
    )


@pytest.fixture(scope='module')
def folder(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp('report') / 'new'
    assert write_report(results, folder) == folder / 'index.html'
    return folder


@pytest.fixture(scope='module')
def html(folder):
    return (folder / 'index.html').read_text(encoding='utf-8')


def test_page_has_every_section(html):
    page = Page(html)
    assert {'summary', 'table', 'training', 'weights', 'examples', 'settings'} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count('svg') == 2 + 6
    assert 'No pair has such an edge' in page.text
    assert page.tags.count('article') == 3
    assert 'Twemoji' in page.text
    assert 'CC-BY 4.0' in page.text
    assert '1 min 15 s' in page.text


def test_page_needs_no_network(html):
    page = Page(html)
    assert page.sources
    assert all(source.startswith(('data:', '#')) for source in page.sources)
    assert set(re.findall(r'url\((.)', html)) <= {'#'}
    assert '@import' not in html


def test_texts_are_data(html):
    page = Page(html)
    assert 'script' not in page.tags
    assert HOSTILE in page.text
    assert 'no <b>picture</b>' in page.text
    assert 'without <i>anything</i>' in page.text
    assert 'Machine <x>' in page.text


def test_surface_is_highlighted_in_its_sentence(html):
    assert "&#39;<mark>smile</mark>&#39;" in html
    assert '<mark></mark>' not in html


def test_answer_and_wrong_winner_are_marked(html):
    wrong = html.split('<article')[2]
    assert wrong.count('<li class="answer"') == 1
    assert wrong.count('<li class="winner"') == 1
    assert 'the answer is at rank 9' in wrong
    assert wrong.index('class="winner"') < wrong.index('class="answer"')
    right = html.split('<article')[1]
    assert right.count('<li class="answer"') == 1
    assert 'class="winner"' not in right


def test_missing_weights_are_neither_drawn_nor_invented(html):
    assert 'nan' not in re.sub(r'base64,[^"]*', '', html).lower()
    strips = html.split('<article')[1].split('class="strips"')[1]
    assert strips.count('is-answer') == 8
    assert strips.count('is-rival') == 5
    assert '0.90 : –' in strips  # noqa: RUF001


def test_without_curve_weights_and_examples(results, tmp_path):
    bare = replace(results, curve=[], edge_weights=[], examples=[])
    page = Page(write_report(bare, tmp_path).read_text(encoding='utf-8'))
    assert 'No curve was recorded' in page.text
    assert 'No weights were recorded' in page.text


def test_same_results_give_the_same_page(results, folder, tmp_path):
    assert write_report(results, tmp_path).read_bytes() == (folder / 'index.html').read_bytes()


def test_numbers_load(folder):
    record = json.loads((folder / 'results.json').read_text(encoding='utf-8'))
    assert record['best'] == 'DRIN | best'
    assert record['reference'] == 'late fusion, logistic'
    rows = {row['name']: row for row in record['systems']}
    assert rows['DRIN | best']['top1'] == pytest.approx(0.8)
    assert rows['DRIN | best']['p_value'] == 0.0123
    assert rows['random']['val_top1'] is None
    assert rows['random']['top1_seed_std'] is None
    assert record['systems'][-1]['p_value'] is None


def test_markdown_has_a_row_per_system_and_group(results, folder):
    lines = (folder / 'table.md').read_text(encoding='utf-8').splitlines()
    rows = [line for line in lines if line.startswith('|')]
    assert len(rows) == 2 + len(results.systems) + 4
    assert {len(re.findall(r'(?<!\\)\|', row)) for row in rows} == {9}


def test_text_table_is_aligned(results):
    lines = format_table(results).splitlines()
    rows = [line for line in lines if line.startswith('  ')]
    assert len(rows) == len(results.systems)
    assert {len(line) for line in [lines[0], lines[1], *rows]} == {100}
    for column, pattern in {'Seeds': r' \d$', 'Top-1 ± SE': r' \d+\.\d ± \d+\.\d$', 'MRR': r' 0\.\d{3}$'}.items():
        end = lines[0].index(column) + len(column)
        assert all(re.search(pattern, row[:end]) for row in rows), column
    assert '…' in rows[-1]
    assert '80.0 ± 6.3' in rows[4]
    assert '< 0.001' in rows[3]
    assert '1,23' in rows[3]


def with_best(results, **kwargs):
    return replace(results, systems=[replace(s, **kwargs) if s.group == 'best' else s for s in results.systems])


def test_summary_of_a_significant_gain(results):
    text = summary(results)
    assert text.startswith('“DRIN | best” ranks the right entity first for 80.0 ± 6.3 % of 40 test mentions')
    assert 'mean of 3 seeds' in text
    assert '20.0 ± 6.3 points more than the better late fusion, “late fusion, logistic” (60.0 %)' in text
    assert 'p = 0.012' in text
    assert 'significant' not in text


@pytest.mark.parametrize('p_value', [0.05, 0.3, 1.0])
def test_summary_says_what_is_not_significant(results, tmp_path, p_value):
    changed = with_best(results, p_value=p_value)
    assert 'is not significant at the 0.05 level' in summary(changed)
    html = write_report(replace(changed, examples=[]), tmp_path).read_text(encoding='utf-8')
    assert 'is not significant' in html
    assert 'class="lead open"' in html


def test_summary_of_a_loss_and_of_no_test(results):
    worse = summary(with_best(results, hit=np.zeros((3, NUM_MENTIONS)), p_value=0.0002))
    assert '60.0 ± 7.7 points less than' in worse
    assert 'p < 0.001' in worse
    assert 'was not tested' in summary(with_best(results, p_value=None))


@pytest.mark.parametrize('group', ['best', 'baseline'])
def test_a_report_needs_both_sides(results, tmp_path, group):
    systems = [s for s in results.systems if s.group != group]
    with pytest.raises(ValueError, match=f"no system of group '{group}'"):
        write_report(replace(results, systems=systems), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_separation_is_the_chance_of_a_right_order():
    def chance(answer, other):
        return separation(EdgeWeights('r', 0, np.array(answer), np.array(other)))

    assert chance([2.0, 3.0], [0.0, 1.0]) == 1
    assert chance([1.0], [1.0, 1.0]) == 0.5
    assert chance([0.0, 2.0, NAN], [1.0, NAN]) == 0.5
    assert np.isnan(chance([], [1.0]))


def test_constant_weights_have_a_histogram():
    assert weights_figure(EdgeWeights('r', 0, np.ones(3), np.ones(9)), 'r').startswith('<svg')
