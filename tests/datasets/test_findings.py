import pytest

from drin_pyg.datasets import Findings
from drin_pyg.datasets.findings import KINDS


def test_counts_and_the_first_examples():
    findings = Findings()
    for i in range(7):
        findings.add('nil', f'm{i}')
    findings.add('unknown_candidate', 'Q9 of mention m0', 3)
    assert findings.counts == {'nil': 7, 'unknown_candidate': 3}
    assert findings.examples == {'nil': ['m0', 'm1', 'm2', 'm3', 'm4'], 'unknown_candidate': ['Q9 of mention m0']}
    assert findings.unusable == 3  # that a mention means no entity is no fault


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind(kind):
    findings = Findings()
    findings.add(kind, 'x')
    assert findings.unusable == (kind not in ('no_description', 'no_candidates', 'nil', 'unanswered'))
    assert findings.to_dict() == {kind: {'count': 1, 'examples': ['x']}}
    assert KINDS[kind][0] in findings.format()


def test_unknown_kind():
    with pytest.raises(KeyError, match="Unknown kind of finding 'typo'; known are duplicate_entity, "):
        Findings().add('typo', 'x')


def test_nothing_found():
    assert (Findings().unusable, Findings().to_dict(), Findings().format()) == (0, {}, '')


def test_copy_is_its_own():
    findings = Findings()
    findings.add('nil', 'm0')
    other = findings.copy()
    other.add('nil', 'm1')
    other.add('bad_picture', 'a.png')
    assert findings.to_dict() == {'nil': {'count': 1, 'examples': ['m0']}}
    assert other.to_dict() == {'bad_picture': {'count': 1, 'examples': ['a.png']},  # in the order it is shown
                               'nil': {'count': 2, 'examples': ['m0', 'm1']}}


def test_format():
    findings = Findings()
    findings.add('unanswered', 'Zürich')
    findings.add('missing_picture', 'a.png', 1200)
    assert findings.format() == (
        '!     1,200 pictures that are not there: a.png, ...\n'
        '          1 mentions without an answer (to be linked): Zürich')


def test_names_cannot_steer_the_terminal():
    findings = Findings()
    findings.add('nil', 'a\nb\x1b[2J\ud800é')
    assert findings.format().endswith('(NIL): a\\nb\\x1b[2J\\ud800é')
    assert findings.format().encode()
