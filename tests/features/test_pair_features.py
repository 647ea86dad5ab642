import numpy as np
import pytest
import torch
from rapidfuzz import fuzz
from sklearn.feature_extraction.text import TfidfVectorizer

from drin_pyg.datasets import Entity, Mention
from drin_pyg.features import Candidates, PairFeatures
from drin_pyg.features.pair_features import NUM_BINS, gender, normalize

ENTITIES = [
    Entity('1', 'José Martí', 'Name: José Martí. Cuban poet, born 1853, died 1895.'),
    Entity('2', 'Martí', 'a village in Spain'),
    Entity('3', 'Josephine Baker', 'dancer and singer, born 1906, died 1975'),
    Entity('4', '東京', ''),
]
MENTIONS = [
    Mention('a', 'jose marti', 'The poet Jose Marti in 1880'),
    Mention('b', 'Baker', 'Baker, a singer, was photographed in 1840 and again in 1940.'),
    Mention('c', '東京', 'The station of 東京'),
]
LISTS = Candidates.from_lists([[0, 1, 2], [2, 0], [3, 1]])


@pytest.fixture(scope='module')
def features():
    return PairFeatures(ENTITIES)(MENTIONS, LISTS)


def test_names(features):
    pairs = zip(LISTS.mention.tolist(), LISTS.entity.tolist(), strict=True)
    expected = [fuzz.token_set_ratio(normalize(MENTIONS[i].surface), normalize(ENTITIES[j].name)) / 100
                for i, j in pairs]
    assert features['token_set'].tolist() == pytest.approx(expected)
    assert features['token_set'][[0, 1, 3, 5]].tolist() == [1, 1, 1, 1]
    assert features['exact'].tolist() == [1, 0, 0, 0, 0, 1, 0]
    assert features['subset'].tolist() == [1, 0, 0, 1, 0, 1, 0]
    assert features['last_word'].tolist() == [1, 1, 0, 1, 0, 1, 0]


def test_years(features):
    # The last year of the sentence against the first and the last of the description, in bins of five years.
    def place(gap):
        return gap // 5 + 20 + 1

    assert features['first_year'].tolist() == [place(27), 0, place(-26), place(34), place(87), 0, 0]
    assert features['last_year'].tolist() == [place(-15), 0, place(-95), place(-35), place(45), 0, 0]
    assert features['year_outside'].tolist() == [0, 0, 1, 0, 1, 0, 0]
    assert NUM_BINS == 62


def test_gender_conflict():
    entities = [Entity('1', 'A', 'Sex: male. Occupation: actor, queen of drag'), Entity('2', 'B', 'a French actress'),
                Entity('3', 'C', 'a river')]
    mentions = [Mention('a', 'A', 'She and her dog'), Mention('b', 'B', 'The king'), Mention('c', 'C', 'on the stage'),
                Mention('d', 'D', 'His wife'), Mention('e', 'E', 'at the opera', captions=('a woman in a dress', ))]
    found = PairFeatures(entities)(mentions, Candidates.from_lists([[0, 1, 2]] * 5))['gender_conflict']
    assert found.view(5, 3).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize(('text', 'expected'), [
    ('', 0), ('He is here', 1), ('SHE is here', -1), ('mother and son', 0), ('Sex: female. Spouse: the King', -1),
    ('male and female', 0), ('the heron', 0)])
def test_gender(text, expected):
    assert gender(text) == expected


def test_gaps_beyond_the_bins_stay_in_the_last_ones():
    entities = [Entity('1', 'x', 'built 1000'), Entity('2', 'x', 'built 2090')]
    features = PairFeatures(entities)([Mention('a', 'x', 'in 1999')], Candidates.from_lists([[0, 1]]))
    assert features['first_year'].tolist() == [61, 2]
    features = PairFeatures(entities)([Mention('a', 'x', 'in 1001')], Candidates.from_lists([[1]]))
    assert features['first_year'].tolist() == [1]


def test_words_are_cosines_of_tfidf(features):
    names = [normalize(entity.name) for entity in ENTITIES]
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r'\b\w+\b').fit(names)
    rows = vectorizer.transform(names).toarray()
    own = vectorizer.transform([normalize(mention.sentence) for mention in MENTIONS]).toarray()
    expected = [own[i] @ rows[j] for i, j in zip(LISTS.mention.tolist(), LISTS.entity.tolist(), strict=True)]
    np.testing.assert_allclose(features['name_in_sentence'], expected, atol=1e-6)
    # "poet" is in the first description alone, "singer" in the third; the name at its head does not count.
    assert (features['shared_words'] > 0).tolist() == [True, False, False, True, False, False, False]


def test_length_grows_with_the_description(features):
    assert features['length'][5] == 0
    assert features['length'][0] > features['length'][1] > 0


@pytest.mark.parametrize(('text', 'expected'), [('José  MARTÍ!', 'jose  marti'), ('東京', '東京'), ('', ''),
                                               ('!?', '')])
def test_normalize(text, expected):
    assert normalize(text) == expected


def test_nothing_to_compare():
    empty = PairFeatures([Entity('1', '', '')])([Mention('a', '', '')], Candidates.from_lists([[0]]))
    assert all(x.shape == (1, ) and x.isfinite().all() for x in empty.values())
    none = PairFeatures(ENTITIES)(MENTIONS, Candidates.from_lists([[], [], []]))
    assert all(x.shape == (0, ) for x in none.values())
    assert {name: x.dtype for name, x in none.items() if x.dtype != torch.float32} \
        == {'first_year': torch.long, 'last_year': torch.long}
