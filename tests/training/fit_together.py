"""A small training run, alone or as one of the processes of ``torchrun``."""

import argparse
import json
import os
import warnings
from pathlib import Path

import torch

from drin_pyg.features import PairTables
from drin_pyg.nn import DRIN
from drin_pyg.training.data_module import CandidateDataModule
from drin_pyg.training.fit import fit
from tests.training.tables import WIDTH, make_tables


class Unused(DRIN):
    """Has a parameter that no score depends on."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.unread = torch.nn.Parameter(torch.ones(3))


def train(folder, epochs, loss='softmax', max_pairs=40, model=DRIN, resume=False, accelerator='cpu'):
    """What the run came to. In float64: Adam's step follows a gradient's sign, so rounding would grow into steps."""
    torch.manual_seed(0)
    tables, candidates, split = make_tables()
    tables = PairTables({t: x.double() for t, x in tables.x.items()},
                        {e: (u.double(), v.double()) for e, (u, v) in tables.weight.items()})
    data = CandidateDataModule(tables, candidates, split, max_pairs=max_pairs)
    result = fit(model(WIDTH, 8).double(), data, folder, loss=loss, lr=0.02, patience=50, max_epochs=epochs,
                 progress=False, accelerator=accelerator, resume=resume)
    return {'best_val_mrr': result.best_val_mrr, 'epochs': result.epochs,
            'state': {name: value.flatten().tolist() for name, value in result.model.state_dict().items()}}


def main():
    """``fit_together.py FOLDER EPOCHS`` and options; each process writes ``FOLDER-RANK.json``."""
    parser = argparse.ArgumentParser()
    parser.add_argument('folder', type=Path)
    parser.add_argument('epochs', type=int)
    parser.add_argument('--loss', default='softmax')
    parser.add_argument('--max-pairs', type=int, default=40)
    parser.add_argument('--unused', dest='model', action='store_const', const=Unused, default=DRIN)
    parser.add_argument('--resume', action='store_true')
    parser.add_argument('--accelerator', default='cpu')
    options = parser.parse_args()
    # Said by Lightning of the very folder that is to be resumed.
    warnings.filterwarnings('ignore', 'Checkpoint directory .* exists and is not empty', UserWarning)
    torch.set_num_threads(1)
    report = train(**vars(options))
    path = options.folder.with_name(f"{options.folder.name}-{os.environ['RANK']}.json")
    path.write_text(json.dumps(report))


if __name__ == '__main__':
    main()
