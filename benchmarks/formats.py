r"""Every format that the package reads: a small valid example of each, and code that reads and checks it."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file

sys.path.append(str(Path(__file__).resolve().parents[1]))  # the tests, which write small folders

from drin_pyg.datasets import DRINPreprocessed, EmojiMEL, PictureError, WikiMELText, open_dataset
from drin_pyg.datasets.gzip_lines import read_gzip_lines
from drin_pyg.evaluation.parity import published_parity
from drin_pyg.experiments import Study, StudyTable, Variant
from drin_pyg.features import Candidates, encode_folder, load_tables
from drin_pyg.features.preprocessed import preprocessed_tables
from drin_pyg.features.side_tables import pair_tables
from drin_pyg.files import SHA256, fingerprint, write_record
from drin_pyg.graph import candidate_batch, forward_args
from drin_pyg.linking import CandidateScorer, EntityIndex
from drin_pyg.linking.calibration import Calibration
from drin_pyg.nn import DRIN
from drin_pyg.training import Recipe, load_run
from drin_pyg.training.checkpoint_file import CheckpointFile, read_checkpoint
from drin_pyg.training.run import read_curve, save_run
from drin_pyg.vocabulary import ENTITY_IMAGE, ENTITY_TEXT, MENTION_IMAGE, MENTION_TEXT
from link_formats import read_lines, read_links, read_mentions, write_lines, write_links, write_mentions
from picture_formats import PICTURES, read_picture, write_picture
from row_formats import read_rows, read_table, write_rows, write_table
from synthetic import make_candidates, make_sides
from tests.datasets import layouts
from tests.evaluation.published_reference import write_folder

WIDTHS = {MENTION_TEXT: 7, MENTION_IMAGE: 20, ENTITY_TEXT: 7, ENTITY_IMAGE: 20}  # of `make_sides` at SCALE
SCALE = 0.01


class Format(NamedTuple):
    r"""A format.

    Args:
        write: Writes a valid example into a folder.
        read: Reads the folder, and raises AssertionError if what it is given contradicts itself.
        damaged: Patterns of the files that are damaged.
        share: Of the cases, relative to other formats.
        alone: Whether the damaged file is read by itself.
        errors: What may be raised; the message must name the folder or a file of it.
    """

    write: Callable[[Path], object]
    read: Callable[[Path], object]
    damaged: tuple[str, ...] = ('*', )
    share: float = 1
    alone: bool = False
    errors: tuple[type[Exception], ...] = (ValueError, FileNotFoundError)


def read_records(folder: Path) -> None:
    r"""Records of a data set, their pictures, and the lists that graphs are made from."""
    dataset = open_dataset(folder)
    look_at(dataset)


def look_at(dataset) -> None:
    r"""What the readers promise of their records."""
    for entity in dataset.entities:
        assert all(isinstance(text, str) for text in (entity.id, entity.name, entity.description)), entity
    for mention in dataset.mentions:
        assert all(isinstance(text, str) for text in (mention.id, mention.surface, mention.sentence)), mention
        assert mention.answer is None or isinstance(mention.answer, str), mention
        assert mention.span is None or 0 <= mention.span[0] < mention.span[1] <= len(mention.sentence), mention
        for picture in mention.pictures[:3]:
            with suppress(PictureError):
                assert picture.open().mode == 'RGB'
    lists = Candidates.from_records(dataset.mentions, dataset.entities)
    assert lists.num_pairs == 0 or 0 <= int(lists.entity.min()) <= int(lists.entity.max()) < len(dataset.entities)
    dataset.findings.format()


def write_emoji(folder: Path) -> None:
    r"""The first entities of EmojiMEL, and the mentions that name no others."""
    source = EmojiMEL().folder
    kept = 150
    mentions = [record for record in read_gzip_lines(source / 'mentions.jsonl.gz')
                if max(record['entity'], *record['cand']) < 900][:30]
    used = sorted({row for record in mentions for row in (record['entity'], *record['cand'])})[:kept]
    place = {row: i for i, row in enumerate(used)}
    mentions = [{**record, 'entity': place[record['entity']], 'cand': [place[c] for c in record['cand'] if c in place]}
                for record in mentions if record['entity'] in place]
    entities = [record for row, record in enumerate(read_gzip_lines(source / 'entities.jsonl.gz')) if row in place]
    layouts.write_lines(folder / 'entities.jsonl.gz', *entities)
    layouts.write_lines(folder / 'mentions.jsonl.gz', *mentions)
    from PIL import Image
    for sheet in source.glob('*.webp'):
        with Image.open(sheet) as image:
            image.crop((0, 0, 64 * 43, 64 * 4)).save(folder / sheet.name)


def write_linkings(folder: Path) -> None:
    r"""Mentions as the library entity-linkings has them."""
    layouts.write_lines(folder / 'entities.jsonl', {'id': 'Q1', 'name': 'Paris'}, {'id': 'Q2', 'name': 'Lyon'})
    layouts.write_lines(folder / 'mentions.jsonl', *(
        {'id': str(i), 'text': 'From Paris to Lyon.', 'entities': [
            {'start': 5, 'end': 10, 'label': ['Q1'], 'candidates': ['Q1', 'Q2']},
            {'start': 14, 'end': 18, 'label': ['-1'], 'candidates': []}]} for i in range(3)))


def read_preprocessed(folder: Path) -> None:
    r"""Arrays of the published format as tables and graphs."""
    tables, lists = preprocessed_tables(DRINPreprocessed(folder))
    check_scores(DRIN({t: x.size(1) for t, x in tables.x.items()}, 4), tables, lists, moderate=True)


def check_scores(model: DRIN, tables, lists: Candidates, moderate: bool = False) -> None:
    r"""Builds graphs and scores them; numbers near the end of the range of floats may overflow in a product."""
    batch = candidate_batch(tables, lists)
    with torch.inference_mode():
        scores = model(**forward_args(batch))
    assert scores.shape == (lists.num_pairs, )
    small = all(bool((x.abs() < 1e6).all()) for x in (*tables.x.values(), *batch.edge_weight_dict.values()))
    assert not (moderate and small) or bool(scores.isfinite().all()), 'scores are not finite'


def write_tables(folder: Path) -> None:
    r"""Encoded data with records, as ``drin-pyg encode`` writes it."""
    (folder / 'source').mkdir()
    layouts.write_own(folder / 'source')
    encode_folder(folder / 'source', folder / 'tables')


def read_tables(folder: Path) -> None:
    data = load_tables(folder / 'tables')
    small(data)


def small(data) -> None:
    r"""Scores the graphs of loaded tables."""
    check_scores(DRIN({t: x.size(1) for t, x in data.tables.x.items()}, 4), data.tables, data.candidates, moderate=True)
    for rows in data.split.values():
        assert rows.numel() == 0 or 0 <= int(rows.min()) <= int(rows.max()) < data.candidates.num_mentions


def write_features(folder: Path) -> None:
    r"""Encoded data that came as features alone."""
    (folder / 'source').mkdir()
    write_folder(folder / 'source')
    encode_folder(folder / 'source', folder / 'tables')


@lru_cache
def model() -> DRIN:
    r"""A model with all kinds of parameters."""
    torch.manual_seed(0)
    return DRIN(WIDTHS, 8, doubt_images=True)


@lru_cache
def tables():
    r"""Mentions and entities for it."""
    torch.manual_seed(0)
    return *make_sides(3, 9, SCALE), make_candidates(3, 4, 9)


def read_model(folder: Path) -> None:
    read = DRIN.from_pretrained(folder / 'model')
    assert all(bool(value.isfinite().all()) for value in read.state_dict().values()), 'parameters are not finite'
    if {t: encoder.in_channels for t, encoder in read.encoders.items()} == WIDTHS:
        mentions, entities, lists = tables()
        check_scores(read, pair_tables(mentions, entities), lists)


def forget_digests(folder: Path) -> None:
    r"""Takes the digests of contents away, as of earlier versions: damage gets past them, as a stranger's would."""
    for path in folder.rglob('*.json'):
        record = json.loads(path.read_bytes())
        path.write_text(json.dumps({key: value for key, value in record.items() if key not in (SHA256, 'files')}))
    for path in folder.rglob('*.safetensors'):
        save_file(load_file(path), path)


def write_checkpoint(folder: Path) -> None:
    r"""What a run goes on from: parameters, the state of an optimizer, and of callbacks."""
    net = model()
    net(**forward_args(candidate_batch(pair_tables(*tables()[:2]), tables()[2]))).sum().backward()
    optimizer = torch.optim.Adam(net.parameters())
    optimizer.step()
    CheckpointFile().save_checkpoint(
        {'state_dict': net.state_dict(), 'optimizer_states': [optimizer.state_dict()], 'epoch': 3, 'callbacks': {
            'ModelCheckpoint': {name: str(folder / 'best.ckpt') for name in (
                'dirpath', 'best_model_path', 'kth_best_model_path', 'last_model_path')} | {
                    'best_k_models': {str(folder / 'best.ckpt'): torch.tensor(0.5)}}}}, folder / 'last.ckpt')
    model.cache_clear()


def read_saved(folder: Path) -> None:
    checkpoint = read_checkpoint(folder / 'last.ckpt')
    assert isinstance(checkpoint, dict)


def unsigned(write: Callable[[Path], object]) -> Callable[[Path], None]:
    r"""Writes without digests."""
    def write_and_forget(folder: Path) -> None:
        write(folder)
        forget_digests(folder)
    return write_and_forget


def read_index(folder: Path) -> None:
    index = EntityIndex.load(folder / 'index', model())
    mentions, _, _ = tables()
    best = CandidateScorer(model(), index)(mentions, k=3)  # of all that were not removed
    assert best.score.shape == (3, 3)
    index.numbers(['0', '3', 'nobody'])


def write_index(folder: Path) -> None:
    r"""An index of two parts, with an entity that was removed."""
    _, entities, _ = tables()
    index = EntityIndex.build(model(), entities)
    index.add(model(), entities, [f'more {i}' for i in range(9)])
    index.remove(['more 3'])
    index.save(folder / 'index')


def write_run(folder: Path) -> None:
    r"""A run with its data, its calibration and its curve."""
    write_features(folder)
    data = load_tables(folder / 'tables')
    run = folder / 'run'
    DRIN({t: x.size(1) for t, x in data.tables.x.items()}, 8).save_pretrained(run / 'model')
    save_run(run, Recipe(model={'hidden_channels': 8}), folder / 'tables')
    Calibration(1.0, [0.0] * 4, [1.0] * 4, [0.5] * 4, 0.0, 0.5, 'key', {'nil': 1, 'mentions': 2}).save(run)
    (run / 'metrics.csv').write_text('epoch,step,train_loss,val_mrr\n0,3,0.5,\n0,4,,0.25\n1,8,0.25,0.5\n')


def read_run(folder: Path) -> None:
    run = folder / 'run'
    # A run says where its data lies; an example that was copied says where the original's does.
    _, _, data = load_run(run, folder / 'tables')
    small(data)
    calibration = Calibration.load(run, 'key')
    probability = calibration.probability(torch.tensor([0.5, 0.1]), Candidates.from_lists([[0, 1]]))
    assert bool(probability.isfinite().all()), 'probabilities are not finite'
    read_curve(run)


def write_settings(folder: Path) -> None:
    r"""A recipe as a run has it, and as a person writes it."""
    Recipe(model={'hidden_channels': 8, 'relations': ['text_text']}).save(folder / 'recipe.yaml')


def read_settings(folder: Path) -> None:
    recipe = Recipe.load(folder / 'recipe.yaml')
    assert type(recipe.model) is dict
    assert isinstance(recipe.lr, int | float)


def write_study(folder: Path) -> None:
    r"""Two runs of a study."""
    for name, rank in (('base', 1.0), ('other', 2.0)):
        run = folder / 'runs' / name / 'seed0'
        run.mkdir(parents=True)
        save_file({'val': torch.tensor([1.0, 2.0]), 'test': torch.tensor([1.0, rank, float('inf')])},
                  run / 'ranks.safetensors')
        write_record(run / 'result.json', {'seconds': 1.5, 'parameters': 10, 'files': {
            'ranks.safetensors': fingerprint(run / 'ranks.safetensors')}})


def read_study(folder: Path) -> None:
    variants = [Variant(name) for name in ('base', 'other')]
    table = StudyTable.read(Study('study', 'Which?', tuple(variants), 'base'), {
        variant.name: [folder / 'runs' / variant.name / 'seed0'] for variant in variants})
    assert all(0 <= row['top1'] <= 1 and 0 <= row['mrr'] <= 1 for row in table.rows())
    assert table.markdown()
    assert table.format()


def records(write: Callable[..., object], *arguments, damaged: tuple[str, ...] = ('*.*', ), share: float = 1) -> Format:
    r"""A data set's layout."""
    return Format(lambda folder: write(folder, *arguments), read_records, damaged, share)


FORMATS: dict[str, Format] = {
    'folder': records(layouts.write_own, damaged=('*.jsonl', 'images/*'), share=3),
    'linkings': records(write_linkings),
    'wikidiverse': records(layouts.write_wikidiverse, damaged=('*.json', '*.tsv'), share=2),
    'wikimel': records(layouts.write_wikimel, share=2),
    'wikimel, flat': records(layouts.write_wikimel_flat),
    'richpedia': records(layouts.write_richpedia),
    'mimic': records(layouts.write_mimic, 'WIKIMEL', share=2),
    'wikimel, texts': Format(layouts.write_wikimel_text, lambda folder: look_at(WikiMELText(folder))),
    'emoji': Format(write_emoji, lambda folder: look_at(EmojiMEL(str(folder))), share=0.5),
    'published arrays': Format(write_folder, read_preprocessed, ('*.npy', ), 2),
    'published arrays, WikiMEL': Format(lambda folder: write_folder(folder, dataset='wikimel'), read_preprocessed,
                                        ('*.npy', 'qid2idx.json')),
    'published model': Format(lambda folder: write_folder(folder, steps=1), published_parity, ('*.json', '*.npz'), 0.3),
    'feature table': Format(unsigned(write_table), read_table, ('table/*', ), 2),
    'rows under way': Format(write_rows, read_rows, ('table/*', ), 0.5),
    'tables': Format(unsigned(write_tables), read_tables, ('tables/*.*', 'tables/data/*.jsonl'), 0.7),
    'tables, features alone': Format(unsigned(write_features), read_tables, ('tables/*', )),
    'model': Format(unsigned(lambda folder: model().save_pretrained(folder / 'model')), read_model, ('model/*', ), 2),
    'model with digests': Format(lambda folder: model().save_pretrained(folder / 'model'), read_model, ('model/*', )),
    'checkpoint': Format(write_checkpoint, read_saved),
    'index': Format(unsigned(write_index), read_index, ('index/*', ), 2),
    'run': Format(unsigned(write_run), read_run, ('run/*.*', 'run/model/*'), 1),
    'recipe': Format(write_settings, read_settings, share=2),
    'study': Format(unsigned(write_study), read_study, ('runs/*/*/*', )),
    'study with digests': Format(write_study, read_study, ('runs/*/*/*', ), 0.3),
    'lines to link': Format(write_lines, read_lines, ('*.jsonl', '*.png'), 0.3),
    'table to link': Format(write_mentions, read_mentions, ('*.parquet', ), 2),
    'links under way': Format(unsigned(write_links), read_links, ('links/*', ), 0.3,
                              errors=(ValueError, FileNotFoundError, FileExistsError)),
    **{name: Format(write_picture(name), read_picture, share=4 if name in ('png', 'jpeg', 'webp', 'gif', 'tiff')
                    else 0.5 if name in ('dds', 'icns', 'avif') else 1.5, alone=True) for name in PICTURES},
}
