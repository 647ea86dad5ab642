r"""How much of a frozen model's own speed is left when a data set is encoded with it.

Both sides run the same batches through the same model, alternating. The bare side has its inputs ready in
memory; ours reads the records, tokenises or decodes, encodes, writes the rows to disk and counts its progress.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from PIL import Image

from drin_pyg.datasets import EmojiMEL, Picture
from drin_pyg.features import Encoding, PictureEncoder, TextEncoder, encode_rows
from report import show_machine
from timing import Measured, compare, show


def texts(count: int, folder: Path, rounds: int) -> None:
    r"""MiniLM over distinct texts of EmojiMEL."""
    dataset = EmojiMEL()
    words = [m.sentence for m in dataset.mentions] + [f'{e.name}. {e.description}' for e in dataset.entities]
    items = [(text, None) for text in list(dict.fromkeys(words))[:count]]
    encoder = TextEncoder.minilm()
    order = encoder.order(items)
    batches = [[items[i] for i in order[start:start + encoder.batch_size]]
               for start in range(0, len(items), encoder.batch_size)]
    inputs = [encoder._tokenize(batch)[0] for batch in batches]
    run = iter(range(10**6))

    @torch.inference_mode()
    def bare() -> None:
        for batch in inputs:
            encoder._model(**batch)

    sides = {
        'bare model, inputs in memory': bare,
        'encode_rows, to disk': lambda: encode_rows(encoder, items, Encoding(folder / f'texts{next(run)}')),
    }
    measured = compare(sides, rounds=rounds, warm_up=1)
    show(f'{len(items)} texts, MiniLM', measured)
    rate(measured, len(items))


def pictures(count: int, folder: Path, rounds: int, workers: int, name: str) -> None:
    r"""A backbone of torchvision with random weights (its speed is that of trained ones) over JPEG files."""
    import torchvision

    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None).eval()
    transform = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    noise = torch.randint(0, 256, (count, 30, 40, 3), dtype=torch.uint8)
    items = []
    for i, pixels in enumerate(noise):
        path = folder / f'{i}.jpg'
        Image.fromarray(pixels.numpy()).resize((640, 480)).save(path)
        items.append(Picture(path))
    encoder = PictureEncoder(model, transform, {'encoder': name}, batch_size=16)
    inputs = [torch.stack([encoder.prepare(item) for item in items[start:start + 16]]) for start in range(0, count, 16)]
    run = iter(range(10**6))

    @torch.inference_mode()
    def bare() -> None:
        for batch in inputs:
            model(batch)

    sides = {
        'bare model, inputs in memory': bare,
        f'encode_rows, {workers} workers, to disk':
            lambda: encode_rows(encoder, items, Encoding(folder / f'pictures{next(run)}', workers)),
    }
    measured = compare(sides, rounds=rounds, warm_up=1)
    show(f'{count} pictures of 640 x 480, {name}', measured)
    rate(measured, count)


def rate(measured: dict[str, Measured], count: int) -> None:
    r"""Prints rows per second, and the share of the bare model's rate."""
    bare, ours = (side.median for side in measured.values())
    print(f'  {count / bare:.1f} and {count / ours:.1f} rows/s: {bare / ours:.0%} of the bare model')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--texts', type=int, default=2000)
    parser.add_argument('--pictures', type=int, default=96)
    parser.add_argument('--backbone', default='resnet152')
    parser.add_argument('--workers', type=int, default=0, help='decoding processes; on a GPU machine, several')
    parser.add_argument('--rounds', type=int, default=5)
    arguments = parser.parse_args()
    show_machine()
    with tempfile.TemporaryDirectory() as place:
        texts(arguments.texts, Path(place), arguments.rounds)
        pictures(arguments.pictures, Path(place), arguments.rounds, arguments.workers, arguments.backbone)
