from pathlib import Path
from typing import Annotated

import typer

from drin_pyg.cli.app import Json, Quiet, app
from drin_pyg.cli.complete import complete_binding
from drin_pyg.cli.data import Source


@app.command()
def audit(
    source: Source,
    strict: Annotated[bool, typer.Option('--strict', help='Exit with 1 if anything leaks.')] = False,
    pictures: Annotated[bool, typer.Option(help='Open pictures, which takes the longest.')] = True,
    near: Annotated[bool, typer.Option(help='Compare pictures by their looks, too (ImageHash).')] = True,
    distance: Annotated[int, typer.Option(min=0, max=63, help='Bits of 64 in which pictures that look alike may '
                                                              'differ.')] = 4,
    workers: Annotated[int, typer.Option(min=1, help='Processes that open pictures.')] = 2,
    out: Annotated[Path | None, typer.Option('--out', '-o', help='Write the findings to this file, too, as '
                                                                 'JSON.')] = None,
    split_out: Annotated[Path | None, typer.Option(help='Folder for the same data with a leak-free split, in the '
                                                        'canonical form.')] = None,
    bind: Annotated[list[str] | None, typer.Option(help="What a leak-free split keeps together: 'sentence', 'words', "
                                                        "'image', 'near_image', 'answer' ... Repeatable. Default: "
                                                        "sentence, image and answer.",
                                                   autocompletion=complete_binding)] = None,
    fractions: Annotated[tuple[float, float], typer.Option(help='Shares of the mentions for val and test.')] = (.1, .1),
    seed: Annotated[int, typer.Option(min=0, help='Seed of the draw.')] = 0,
    copy_images: Annotated[bool, typer.Option('--copy-images', help='Copy pictures into the folder of the split '
                                                                    'instead of referring to them.')] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say whether a data set gives its answers away, or its test set to training; draw a split that does not."""
    from drin_pyg.datasets import open_dataset, write_mel_folder
    from drin_pyg.evaluation.audit import audit, fingerprint_dataset
    from drin_pyg.evaluation.audit_keys import OF_PICTURES
    from drin_pyg.evaluation.audit_pictures import Fingerprints
    from drin_pyg.evaluation.leak_free_split import (
        BIND,
        check_request,
        format_split,
        leak_groups,
        split_figures,
        split_groups,
    )
    from drin_pyg.files import format_json, write_atomic

    dataset, bind, draw = open_dataset(source), bind or list(BIND), None
    if split_out is not None:
        if split_out.exists():  # said before the pictures are opened, not after
            raise FileExistsError(f"'{split_out}' is already there; name another folder or remove it")
        check_request(fractions, bind)
        if not pictures and (unseen := sorted(set(bind) & set(OF_PICTURES))):
            raise ValueError(f"--no-pictures leaves '{unseen[0]}' unseen; name what binds instead with --bind")
        if not near and 'near_image' in bind:
            raise ValueError("--no-near leaves 'near_image' unseen; leave one of the two out")
    prints = fingerprint_dataset(dataset, distance if near else None, workers=workers, progress=not quiet) \
        if pictures else Fingerprints()
    if split_out is not None:
        groups = leak_groups(dataset.mentions, bind, prints)
        mentions = split_groups(dataset.mentions, groups, fractions, seed)
        draw = split_figures(mentions, groups)
        write_mel_folder(dataset.entities, mentions, split_out, copy_images)
    found = audit(dataset, prints=prints)
    content = format_json({**found.to_dict(), **({'split': draw} if draw else {})})
    if out is not None:
        write_atomic(out, content.encode() + b'\n')
    typer.echo(content if json else found.format())
    if draw and not json:
        typer.echo(f'\n{format_split(draw, fractions)} Folder: {split_out}')
    if strict and found.leaks:
        raise typer.Exit(1)
