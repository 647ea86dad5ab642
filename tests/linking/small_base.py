"""Four entities and four mentions that anyone can rank by hand."""

from drin_pyg.datasets import Entity, EntityList, Mention

ENTITIES = EntityList([
    Entity('p', 'Paris', 'capital of France'),
    Entity('t', 'Paris', 'a town in Texas'),
    Entity('h', 'Paris Hilton', 'an heiress'),
    Entity('l', 'Lyon', 'city in France'),
])
MENTIONS = [
    Mention('1', 'paris', 'the town of Paris, Texas', (), 't', (), 'train'),
    Mention('2', 'Lyon', 'Lyon in France', (), 'l', (), 'test'),
    Mention('3', 'Hilton', 'the heiress Hilton', (), 'h', ('p', ), 'test'),
    Mention('4', 'nobody', '', (), None, (), 'test', nil=True),
]
