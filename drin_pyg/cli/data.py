from pathlib import Path
from typing import Annotated

import typer

from drin_pyg.cli.app import Config, Json, Quiet, app, print_json
from drin_pyg.cli.complete import complete_method, complete_preset, complete_source

Source = Annotated[str, typer.Argument(help="Folder of a data set (its layout is recognised), or 'emoji' for the "
                                            "packaged EmojiMEL.", autocompletion=complete_source)]


@app.command()
def describe(
    source: Source,
    strict: Annotated[bool, typer.Option('--strict', help='Exit with 1 if anything was unusable.')] = False,
    pictures: Annotated[bool, typer.Option(help='Open each picture, which takes the longest.')] = True,
    workers: Annotated[int, typer.Option(min=1, help='Processes that open pictures.')] = 2,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print what a data set holds, and what in it cannot be used."""
    from drin_pyg.datasets import describe, open_dataset

    found = describe(open_dataset(source), open_pictures=pictures, workers=workers, progress=not quiet)
    print_json(found.to_dict()) if json else typer.echo(found.format())
    if strict and found.findings.unusable:
        raise typer.Exit(1)


@app.command()
def convert(
    source: Source,
    target: Annotated[Path, typer.Argument(help='Folder to write.')],
    copy_images: Annotated[bool, typer.Option('--copy-images', help='Copy pictures, so that the folder can be '
                                                                    'moved; default: refer to them.')] = False,
    json: Json = False,
) -> None:
    """Write any data set in the canonical form: entities.jsonl and mentions.jsonl."""
    from drin_pyg.datasets import convert, open_dataset

    dataset = open_dataset(source)
    convert(dataset, target, copy_images)
    if json:
        print_json({'folder': str(target), 'entities': len(dataset.entities), 'mentions': len(dataset.mentions),
                    'findings': dataset.findings.to_dict()})
        return
    typer.echo(f'{len(dataset.entities):,} entities and {len(dataset.mentions):,} mentions: {target}')
    if dataset.findings.counts:
        typer.echo(f'Found on the way (! = not usable as it stands):\n{dataset.findings.format()}')


@app.command()
def retrieve(
    source: Source,
    target: Annotated[Path, typer.Argument(help='Folder to write, in the canonical form.')],
    k: Annotated[int, typer.Option('-k', min=1, help='Candidates of a mention.')] = 20,
    method: Annotated[list[str] | None, typer.Option(help="'name' (rapidfuzz), 'bm25' or 'dense' (MiniLM). Repeatable: "
                                                          "scores add up. Default: name and dense.",
                                                     autocompletion=complete_method)] = None,
    replace: Annotated[bool, typer.Option('--replace', help='Replace lists that are there already.')] = False,
    copy_images: Annotated[bool, typer.Option('--copy-images', help='Copy pictures instead of referring to '
                                                                    'them.')] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Give mentions candidates from the whole knowledge base, and print how often the answer is among them."""
    from drin_pyg.datasets import open_dataset, write_mel_folder
    from drin_pyg.features import Encoding
    from drin_pyg.files import cache_folder
    from drin_pyg.linking import format_recall, retrieve

    dataset = open_dataset(source)
    if target.exists():
        raise FileExistsError(f"'{target}' is already there; name another folder or remove it")
    mentions, recall = retrieve(dataset.mentions, dataset.entities, k, method or ('name', 'dense'),
                                replace_lists=replace, how=Encoding(cache_folder(), progress=not quiet))
    write_mel_folder(dataset.entities, mentions, target, copy_images)
    print_json(recall) if json else typer.echo(format_recall(recall))
    kept = sum(bool(mention.candidates) for mention in dataset.mentions)
    if kept and not replace:
        typer.echo(f'{kept:,} of {len(mentions):,} mentions had candidates, and keep them (--replace gives them new '
                   f'ones).', err=json)


@app.command()
def encode(
    source: Source,
    out: Annotated[Path, typer.Option(help='Folder for the tables.')],
    preset: Annotated[str | None, typer.Option(help="'offline' (MiniLM and descriptors of drawings, no download), "
                                                    "'text' (MiniLM alone), 'paper' (BERT, ResNet-152, Faster R-CNN, "
                                                    "CLIP) or 'clip'. Default: offline.",
                                                    autocompletion=complete_preset)] = None,
    setting: Annotated[list[str] | None, typer.Option('--set', help='NAME=VALUE: an option of the preset, such as '
                                                                    'text=/folder/bert. Repeatable.')] = None,
    config: Config = None,
    device: Annotated[str, typer.Option(help="Where models run: 'cpu', 'cuda', 'cuda:1'.")] = 'cpu',
    workers: Annotated[int, typer.Option(min=0, help='Processes that decode pictures; 0: none of their own.')] = 0,
    work: Annotated[Path | None, typer.Option(help='Folder to keep encoded rows in, for other settings to find. '
                                                   'Default: inside the tables, removed in the end.')] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Encode a data set with frozen encoders. Goes on where it was stopped."""
    from drin_pyg.features import encode_folder
    from drin_pyg.files import read_yaml

    settings = {} if config is None else read_yaml(config)
    preset = preset or settings.pop('preset', 'offline')
    settings.pop('preset', None)
    for entry in setting or ():
        name, equals, value = entry.partition('=')
        if not equals:
            raise ValueError(f"--set takes NAME=VALUE, got '{entry}'")
        settings[name] = int(value) if value.isdecimal() else value
    settings = {name: _absolute(value) if isinstance(value, str) else value for name, value in settings.items()}
    summary = encode_folder(source, out, preset, settings, device=device, num_workers=workers, work=work,
                            progress=not quiet)
    print_json(summary.to_dict()) if json else typer.echo(summary.format())


def _absolute(value: str) -> str:
    """A local path (perhaps behind ``library:``) from the root, so that the tables' settings hold in any folder."""
    prefix, colon, path = value.rpartition(':')
    return f'{prefix}{colon}{Path(path).resolve()}' if path and Path(path).exists() else value
