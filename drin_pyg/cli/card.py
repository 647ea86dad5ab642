from pathlib import Path
from typing import Annotated, Literal

import typer

from drin_pyg.cli.app import Quiet, app
from drin_pyg.cli.diagnose import Run


@app.command()
def card(
    run: Run,
    split: Annotated[Literal['train', 'val', 'test'], typer.Option(help='Which mentions the figures are of.')] = 'test',
    name: Annotated[str | None, typer.Option(help="What to call the data. Default: the name of its folder.")] = None,
    repo: Annotated[str, typer.Option(help='What the model will be called on the hub.')] = 'user/name',
    license: Annotated[str | None, typer.Option(help="License of the model, such as 'mit'.")] = None,
    quiet: Quiet = False,
) -> None:
    """Evaluate a run and write its model card, RUN/model/README.md, to share the model with."""
    import json

    from drin_pyg.datasets.open_dataset import is_packaged
    from drin_pyg.evaluation import evaluate_scores
    from drin_pyg.files import write_atomic
    from drin_pyg.nn.pretrained import CARD
    from drin_pyg.training import data_module, load_run, model_card, predict
    from drin_pyg.training.run import RUN

    recipe, model, loaded = load_run(run, progress=not quiet)
    if split not in loaded.split:
        raise ValueError(f"There are no answered mentions of the split '{split}'; there are "
                         f"{', '.join(loaded.split) or 'none at all'}")
    module = data_module(loaded, recipe, gold_appended=False)
    metrics = evaluate_scores(predict(model, module, split), module.lists(split))
    source = json.loads((run / RUN).read_text(encoding='utf-8'))['data']
    if name is None:  # a path says more about a computer than about the data
        name = 'EmojiMEL' if is_packaged(source) else Path(source).name
    path = run / 'model' / CARD
    write_atomic(path, model_card(recipe, model, loaded, metrics, split=split, data_name=name, repo_id=repo,
                                  license=license).encode())
    typer.echo(f'Model card: {path}')
