"""Small folders in the layouts that published data sets have on disk, with every quirk that real ones show."""

import gzip
import json

from PIL import Image

WIKI, COMMONS = 'https://en.wikipedia.org/wiki', 'https://upload.wikimedia.org/wikipedia/commons'

# Last part of an image URL, not decoded, to the picture's file: its MD5 as `md5sum` says it. SVG is stored as PNG.
MD5 = {
    'Michael%20J%C3%B6rdan.JPG': 'c8dc216d23a3d7ceb306150aea6a51c3.JPG',
    'Flag_of_Nowhere.svg': '191bafd5a84a858fdc8572db04b18dbe.png',
    '220px-Stade.jpeg': 'a9ebfae15d2990091f7738d0c4b95858.jpeg',
    'Map.tif': '6c63cde5af9980907e31c5e8ba460296.tif',
    'Michael_Jordan_2014.jpg': '63dc5f82f129b212df3c082e6b8b6686.jpg',
    'Jordan%2C_MJ.svg': '49cc740f3daeb3a0665ad930ceda675e.png',
    'Acdc.png': '8f309034a9e9c409ab0e661069bbf694.png',
}
GONE, LOST = 'f7e6a4d1e28f56cabb5dfe42f4994be4', '260b274605726838ce639907fa455132'  # of gone.jpg and lost.png


def write_json(path, content):
    path.write_text(json.dumps(content), encoding='utf-8')


def write_lines(path, *records):
    """JSON lines; gzipped if the name says so."""
    content = ''.join(json.dumps(record) + '\n' for record in records).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == '.gz' else content)


def draw(folder, *names):
    """Small pictures of different colours."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        Image.new('RGB', (6, 4), (40 * i, 120, 250 - 40 * i)).save(folder / name)


def write_wikidiverse(folder):
    """WikiDiverse as published: mentions in the train and test files, passages in the valid file."""
    write_json(folder / 'train_w_10cands.json', [
        ['Jordan joined the Bulls in 1984.', f'n{COMMONS}/a/ab/Michael%20J%C3%B6rdan.JPG', 'Jordan', 'PERSON', [],
         ['joined', 'the', 'Bulls'], f'{WIKI}/Michael_Jordan',
         [f'h{WIKI}/Jordan', f']{WIKI}/Michael_Jordan', f'{WIKI[1:]}/Jordan_%28M%C3%BCnchen%29'], 'sports', 0, 6],
        ['Nowhere raised its flag.', f'h{COMMONS}/b/bc/Flag_of_Nowhere.svg', 'Nowhere', 'LOCATION', [], ['raised'],
         'nil', [], 'politics', 0, 7],
        ['They covered Café by AC/DC, and Café again.', '', 'Café', 'MISC', ['They', 'covered'], ['by', 'AC/DC'],
         f'{WIKI}/Caf%C3%A9_(song)', [f'{WIKI}/AC/DC', *(f'{WIKI}/Caf%C3%A9_{i}' for i in range(9))], 'music', 33, 37],
        ['The club won again.', f']{COMMONS}/c/cd/gone.jpg', 'Red Stars', 'ORG', ['The'], ['won'], f'{WIKI}/Red_Stars',
         [f'{WIKI}/Red_Stars', f'{WIKI}/Red_Stars', 'nil'], 'sports', 4, 13],
    ])
    write_json(folder / 'valid_w_10cands.json', [
        ['Jordan met the king of Jordan.', f'{COMMONS[1:]}/thumb/220px-Stade.jpeg', 'politics', [
            ['Jordan', 'PERSON', 0, 6, f'{WIKI}/Michael_Jordan'], ['Jordan', 'LOCATION', 23, 29, 'nil']]],
        ['Nobody is named here.', '', 'politics', []],
    ])
    write_json(folder / 'test_w_10cands.json', [
        ['Jordan joined the Bulls in 1984.', f'{COMMONS}/d/de/Map.tif', 'Bulls', 'ORG', ['the'], ['in'],
         f'{WIKI}/Chicago_Bulls', [f'{WIKI}/Chicago_Bulls'], 'sports', 18, 23]])
    write_json(folder / 'entity2brief_train.json', {'Michael_Jordan': 'American basketball player', 'Jordan': ''})
    write_json(folder / 'entity2brief_valid.json', {'Chicago_Bulls': None, 'Michael_Jordan': 'Another text'})
    (folder / 'wikipedia_entity2desc_filtered.tsv').write_text(
        'entity@@@@description\nMichael_Jordan@@@@Michael Jordan (born 1963) played.\n'
        'Jordan@@@@Jordan is a country.\nCaf%C3%A9_(song)@@@@Café is a song.\nUnasked@@@@Nobody asks for it.\n',
        encoding='utf-8')
    (folder / 'wikipedia_entity2imgs.tsv').write_text(
        'entity@@@@images\n'
        f'Michael_Jordan@@@@{COMMONS}/e/ef/Michael_Jordan_2014.jpg[AND]h{COMMONS}/f/f0/Jordan%2C_MJ.svg\n'
        f'Jordan@@@@\nCaf%C3%A9_(song)@@@@{COMMONS}/0/01/lost.png\nAC/DC@@@@{COMMONS}/1/12/Acdc.png\n')
    draw(folder / 'wikiImgs', *MD5.values())


WIKIDATA_MEL = {
    '12': {'id': '12', 'sentence': 'Washington crossed the Delaware.', 'mentions': ['Washington', 'Delaware'],
           'entities': ['George Washington', 'Delaware River'], 'answer': ['Q23', ' Q1393\n']},
    '13': {'id': '13', 'sentence': 'Lincoln, unknown to all', 'mentions': ['Lincoln'], 'entities': ['nil'],
           'answer': ['nil']},
    '14': {'id': '14', 'sentence': 'Washington crossed the Delaware.', 'mentions': ['Washington'],
           'entities': ['Washington, D.C.'], 'answer': ['Q61']},
    '15': {'id': '15', 'sentence': 'The first president in 1789', 'mentions': ['George W.'],
           'entities': ['Nobody'], 'answer': ['Q999']},
    '16': {'id': '16', 'sentence': 'DELAWARE at dawn', 'mentions': ['Delaware'], 'entities': ['Delaware River'],
           'answer': ['Q1393']},
}


def write_knowledge(folder):
    """The files beside the mentions of MELBench."""
    write_json(folder / 'qid2ne.json', {'Q23': 'George Washington', 'Q1393 \n': 'Delaware_River', 'Q61': 'Washington'})
    write_json(folder / 'qid2abs.json', {' Q23': 'First president', 'Q61': None, 'Q30': 'Country without a name'})
    (folder / 'candidates-answer.tsv').write_text(
        '12-0\tQ23\tQ61\tQ30\n12-1\tQ1393 \tQ23\tQ777\n13\tQ61\tQ61\tQ23\n14-0\tQ61\tQ23\t Q1393\r\n')
    draw(folder / 'images', '12.JPG', '13.jpeg', '14.tif', '15.png')
    (folder / 'images' / '16.txt').write_text('no picture')
    draw(folder / 'kb_image', 'Q23.jpg')


def write_wikimel(folder):
    """WikiMEL as published: one file of records with parallel lists; splits as lists of ids."""
    write_json(folder / 'Wikidata-MEL.json', WIKIDATA_MEL)
    write_knowledge(folder)
    (folder / 'train.txt').write_text('12\n16\n')
    write_json(folder / 'dev.json', ['13-0'])
    write_json(folder / 'test.json', [14])


def write_wikimel_flat(folder):
    """WikiMEL flattened: one file a split, one mention a record."""
    write_knowledge(folder)
    write_json(folder / 'train.json', {
        '12-0': {'sentence': 'Washington crossed the Delaware.', 'mentions': 'Washington', 'answer': 'Q23'},
        '12-1': {'sentence': 'Washington crossed the Delaware.', 'mentions': 'Delaware', 'answer': 'Q1393\n'}})
    write_json(folder / 'valid.json', {'13': {'sentence': 'Lincoln, unknown to all', 'mentions': 'Lincoln',
                                              'answer': 'nil'}})
    write_json(folder / 'test.json', [{'id': 14, 'sentence': 'Washington crossed the Delaware.',
                                       'mentions': 'Washington', 'answer': 'Q61'}])


def write_richpedia(folder):
    """Richpedia-MEL as published: plain strings, an id that is the answer unless there is one; no splits."""
    write_json(folder / 'Richpedia-MEL.json', {
        'Q23': {'id': 'Q23', 'sentence': 'Washington crossed the Delaware.', 'mentions': 'Washington',
                'entities': 'George Washington'},
        '13': {'id': '13', 'sentence': 'Lincoln, unknown to all', 'mentions': 'Lincoln', 'entities': 'nil',
               'answer': 'nil'},
        '14': {'id': '14', 'sentence': 'Washington at night', 'mentions': 'Washington', 'entities': 'Washington',
               'answer': ' Q61'},
    })
    write_knowledge(folder)
    draw(folder / 'images', 'Q23.png')


def write_mimic(folder, prefix, mention_images='mention_image'):
    """The cleaned layout of MIMIC; some mentions have the ``cands`` that variants carry."""
    write_json(folder / 'qid2id.json', {'Q23': 0, 'Q61': 1, 'Q1393': 2})  # on one line
    write_json(folder / 'kb_entity.json', [
        {'id': 0, 'qid': 'Q23', 'type': 'human', 'entity_name': 'George%20Washington', 'attr': 'Sex: male.',
         'image_list': ['Q23_0.jpg', 'Q23_1.JPG']},
        {'id': 1, 'qid': 'Q61\n', 'type': 'city', 'entity_name': 'Washington,_D.C.', 'attr': '', 'image_list': []},
        {'id': 2, 'qid': 'Q1393', 'type': 'river', 'entity_name': 'R%C3%ADo_Delaware', 'attr': None,
         'image_list': ['Q1393_0.jpg']},
    ])
    write_json(folder / f'{prefix}_train.json', [
        {'id': '12-0', 'mentions': 'Washington', 'sentence': 'Washington crossed the Delaware.', 'imgPath': '12.JPG',
         'entities': 'George Washington', 'answer': 'Q23'},
        {'id': '12-1', 'mentions': 'Delaware', 'sentence': 'Washington crossed the Delaware.', 'imgPath': '',
         'entities': 'Río Delaware', 'answer': 'Q1393\n', 'cands': ['Q23', ' Q1393', 'Q5']}])
    write_json(folder / f'{prefix}_dev.json', [
        {'id': 13, 'mentions': 'Lincoln', 'sentence': 'Unknown to all', 'imgPath': '13.png', 'entities': 'nil',
         'answer': 'nil', 'cands': [2, 0]}])
    write_json(folder / f'{prefix}_test.json', [
        {'id': '14', 'mentions': 'Washington', 'sentence': 'Washington at night', 'imgPath': 'gone.tif',
         'entities': 'Washington', 'answer': 'Q7'}])
    draw(folder / mention_images, '12.jpg', '13.jpg')
    draw(folder / 'kb_image', 'Q23_0.jpg', 'Q23_1.JPG')


def write_own(folder):
    """The canonical form, with one of everything that can be found."""
    write_lines(
        folder / 'entities.jsonl',
        {'id': 'Q1', 'name': 'Paris', 'description': 'Capital of France', 'images': ['images/a.png', 'images/b.png']},
        {'id': 'Q2', 'name': 'Paris, Texas', 'description': None},
        {'id': 'Q1', 'name': 'Paris', 'description': 'Another text'},
        {'id': 'Q3', 'name': 'Zürich', 'description': 'City', 'images': ['images/gone.png']},
        {'id': 'Q4', 'name': 'Lake', 'description': 'Water', 'images': ['images/bad.jpg']})
    write_lines(
        folder / 'mentions.jsonl',
        {'id': 'm0', 'sentence': 'Paris in Texas', 'mention': 'Paris', 'start': 0, 'end': 5, 'images': ['images/a.png'],
         'captions': ['a tower', 'of steel'], 'answer': 'Q2', 'candidates': ['Q1', 'Q9', 'Q2'], 'split': 'train'},
        {'id': 'm1', 'sentence': 'In paris.', 'mention': 'Paris', 'answer': None, 'candidates': ['Q1', 'Q1'],
         'split': 'val'},
        {'id': 'm2', 'sentence': 'Zürich and Zürich', 'mention': 'Zürich', 'start': 10, 'end': 16, 'answer': 'Q3',
         'candidates': ['Q1'], 'split': 'train'},
        {'id': 'm3', 'sentence': 'Nobody', 'mention': 'Lake', 'answer': 'Q9', 'split': 'test'},
        {'id': 'm3', 'sentence': 'The lake', 'mention': 'lake', 'candidates': ['Q4'], 'split': 'test'})
    draw(folder / 'images', 'a.png', 'b.png')
    (folder / 'images' / 'bad.jpg').write_text('no picture')


def write_wikimel_text(folder):
    """WikiMEL's texts: five answers to train on, two mentions to test on."""
    write_lines(folder / 'entities.jsonl.gz', *(
        {'qid': f'Q{i}', 'name': f'Name {i}', 'description': f'Name: {i}.'} for i in range(6)))
    write_lines(folder / 'train.jsonl.gz', *(
        {'id': f'{i}-0', 'sentence': f'Name {i % 5} in 1999', 'mention': f'Name {i % 5}', 'answer': f'Q{i % 5}'}
        for i in range(10)))
    write_lines(
        folder / 'dev.jsonl.gz',
        {'id': '34', 'sentence': 'Name 5 at night', 'mention': 'Name 5', 'answer': 'Q5', 'candidates': ['Q0', 'Q5'],
         'image_caption': 'a man', 'image_tags': ['person', 'tie'], 'image_text': 'STOP', 'image_objects': []},
        {'id': '35', 'sentence': 'Name 1', 'mention': 'Name 1', 'answer': 'Q1', 'candidates': ['Q0', 'Q2'],
         'image_caption': '', 'image_tags': [], 'image_text': ''})
