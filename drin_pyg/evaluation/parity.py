r"""Does a folder with the published implementation's numbers get the same numbers from ours?"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import HeteroData

from drin_pyg.datasets.drin_preprocessed import DRINPreprocessed
from drin_pyg.datasets.raw_files import check, located, read_json
from drin_pyg.features import Candidates, PairTables
from drin_pyg.features.preprocessed import preprocessed_tables
from drin_pyg.graph import candidate_batch
from drin_pyg.nn import DRIN, DRINConv
from drin_pyg.nn.loss import margin_loss
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, ENTITY_TEXT, MENTION_IMAGE, MENTION_TEXT, RELATIONS

# Names of the published implementation's parameters, by ours.
ENCODERS = {
    MENTION_TEXT: 'vertex_encoder.mention_text_encoder.final_layer.linear',
    ENTITY_TEXT: 'vertex_encoder.entity_text_encoder.final_layer',
    MENTION_IMAGE: 'vertex_encoder.mention_image_linear',
    ENTITY_IMAGE: 'vertex_encoder.entity_image_linear',
}
CONFIG = ('text_dim', 'image_dim', 'hidden_dim', 'num_layers', 'edge_update', 'edge_feature', 'relations_enabled',
          'adam_lr', 'margin', 'batch')
LARGEST_ARCHIVE = 2**32  # bytes, unpacked
LAYER = {
    'lins.shared': 'w_h',
    'norms.shared': 'layer_norm',
    'edge_rules.shared.lin_u': 'w_u',
    'edge_rules.shared.lin_v': 'w_v',
    'edge_rules.shared.lin_m': 'w_m',
}


@dataclass(frozen=True)
class Parity:
    r"""Largest absolute differences from the published numbers; None where the folder has none."""

    scores: float
    scores_with_gold_appended: float
    edge_weights: float
    losses: float | None
    losses_with_gold_appended: float | None

    @property
    def largest(self) -> float:
        """The largest of all; NaN if any is NaN."""
        values = [value for value in vars(self).values() if value is not None]
        return float(torch.tensor(values, dtype=torch.float64).max())


def published_parity(folder: str | Path) -> Parity:
    r"""Compares :class:`~drin_pyg.nn.DRIN` with the published implementation's numbers.

    Args:
        folder: A folder in DRIN's preprocessed format (split ``test``) with ``config.json``
            (sizes and options), ``parameters.npz`` (the published parameters by their names) and
            ``expected.npz`` (scores, edge weights and losses in float64).

    Raises:
        FileNotFoundError: Naming the missing file.
        ValueError: If the parameters do not fit the configuration.
    """
    folder = Path(folder)
    for name in ('config.json', 'parameters.npz', 'expected.npz'):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"'{folder / name}' is missing; a folder to compare with holds DRIN's .npy files, "
                                    f"config.json, parameters.npz and expected.npz")
    config, expected = _read_config(folder / 'config.json'), _read_arrays(folder / 'expected.npz')
    if unknown := {'scores', 'scores_with_gold_appended', 'edge_weights'} - expected.keys():
        raise ValueError(f"'{folder / 'expected.npz'}' lacks '{min(unknown)}'")
    with located(folder):
        return _compare(folder, config, expected)


def _compare(folder: Path, config: dict, expected: dict[str, np.ndarray]) -> Parity:
    dataset = DRINPreprocessed(folder, 'test')
    differences = {}
    for suffix, gold_appended in (('', False), ('_with_gold_appended', True)):
        tables, candidates = preprocessed_tables(dataset, gold_appended=gold_appended, dtype=torch.float64)
        columns = dataset.num_candidates + gold_appended
        model = load_published(config, folder / 'parameters.npz')
        batch = candidate_batch(tables, candidates, context='mention')
        with torch.no_grad():
            scores = model(batch.x_dict, batch.edge_index_dict, batch.edge_weight_dict)
        differences[f'scores{suffix}'] = _difference(scores.view(-1, columns), expected[f'scores{suffix}'])
        if not gold_appended:
            with torch.no_grad():
                weights = _published_edge_weights(config, folder / 'parameters.npz', batch)  # [L, 4, P]
            weights = weights.view(*weights.shape[:2], len(dataset), columns)
            differences['edge_weights'] = _difference(weights, expected['edge_weights'])
        losses = expected.get(f'losses{suffix}', np.empty(0))
        differences[f'losses{suffix}'] = None
        if len(losses):
            answer = torch.from_numpy(np.array(dataset.answer))
            ours = _losses(model, tables, candidates, answer, dataset.num_candidates, config, len(losses))
            differences[f'losses{suffix}'] = _difference(ours, losses)
    return Parity(**differences)


def load_published(config: dict, parameters: Path) -> DRIN:
    r"""The model of a published configuration, with the published parameters, in float64."""
    state = _read_arrays(parameters)
    if config['num_layers'] > len(state):  # each has a parameter at least
        raise ValueError(f"'num_layers' is {config['num_layers']}, but '{parameters}' has {len(state)} arrays")
    options = {
        'in_channels': {
            MENTION_TEXT: config['text_dim'],
            MENTION_IMAGE: config['image_dim'],
            ENTITY_TEXT: config['text_dim'],
            ENTITY_IMAGE: config['image_dim'],
        },
        'hidden_channels': config['hidden_dim'],
        'num_layers': config['num_layers'],
        'edge_types': [RELATIONS[name] for name, enabled in config['relations_enabled'].items() if enabled],
        'dynamic': _choice(config, 'edge_update', ('static', 'dynamic')),
        'vector_edges': _choice(config, 'edge_feature', ('scalar', 'vector')),
    }
    with torch.device('meta'):  # whether the sizes are those of the file, before memory is taken for them
        values = _published_state(DRIN.published(**options).state_dict(), state, parameters)
    model = DRIN.published(**options).double()
    model.load_state_dict(values)
    for name, parameter in model.named_parameters():
        # What the published implementation does not have (a W_m without bias), it does not train.
        parameter.requires_grad_(_published_name(name) in state)
    return model


def _read_config(path: Path) -> dict:
    config = read_json(path, dict)
    missing = [key for key in CONFIG if key not in config]
    if missing:
        raise ValueError(f"'{path}' lacks '{missing[0]}'; it needs {', '.join(CONFIG)}")
    with located(path):
        for key in ('text_dim', 'image_dim', 'hidden_dim', 'num_layers', 'batch'):
            if not 0 <= check(config[key], int, f"'{key}'") < 2**31:
                raise ValueError(f"'{key}' is out of range: {config[key]!s:.40}")
        enabled = check(config['relations_enabled'], dict, "'relations_enabled'")
        if wrong := sorted(enabled.keys() ^ RELATIONS.keys()):
            raise ValueError(f"'relations_enabled' must say of {', '.join(RELATIONS)} whether each is on; it is wrong "
                             f"about '{wrong[0]:.40}'")
        for key, value in (*enabled.items(), *((key, config[key]) for key in ('adam_lr', 'margin'))):
            if not isinstance(value, int | float):
                raise ValueError(f"'{key}' must be a number, got {value!r:.40}")
    return config


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a ``.npz`` file, by name."""
    try:
        with zipfile.ZipFile(path) as archive:
            if (size := sum(info.file_size for info in archive.infolist())) > LARGEST_ARCHIVE:
                raise ValueError(f"it unpacks to {size:,} bytes, more than {LARGEST_ARCHIVE:,}")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name].astype(np.float64) for name in file.files}
    # As of a .npy file, and of the archive around it.
    except Exception as error:
        raise ValueError(f"'{path}' is not a readable .npz file: {error!s:.200}") from error


def _choice(config: dict, key: str, values: tuple[str, str]) -> bool:
    if config[key] not in values:
        raise ValueError(f"config.json says {key}={config[key]!r}; known are {values[0]!r} and {values[1]!r}")
    return config[key] == values[1]


def _published_name(name: str) -> str:
    module, kind = name.rsplit('.', 1)
    if module.startswith('encoders.'):
        return f"{ENCODERS[module.removeprefix('encoders.')]}.{kind}"
    _, layer, part = module.split('.', 2)
    return f'gcn_layers.{layer}.{LAYER[part]}.{kind}'


def _published_state(state: dict[str, Tensor], published: dict[str, np.ndarray], path: Path,
                     prefix: str = '') -> dict[str, Tensor]:
    """The published values of the parameters in `state`; `prefix` completes their names."""
    values = {}
    for name, value in state.items():
        source = _published_name(prefix + name)
        if source in published:
            values[name] = torch.from_numpy(published[source])
        elif source.endswith('w_m.bias'):  # a W_m without bias is one with a bias of 0
            values[name] = torch.zeros(value.shape, device='cpu')
        else:
            raise ValueError(f"'{path}' lacks '{source}'; it has {', '.join(sorted(published)):.1000}")
        if values[name].shape != value.shape:
            raise ValueError(f"'{source}' of '{path}' is {list(values[name].shape)}; config.json asks for "
                             f"{list(value.shape)}")
    return values


def _published_edge_weights(config: dict, parameters: Path, batch: HeteroData) -> Tensor:
    """The weights entering each layer, of all four relations, ``[L, 4, P]``.

    The model computes only what its score reads; the published one updates every relation, also
    those that are switched off (from 0). So this runs whole layers.
    """
    width, vector = config['hidden_dim'], config['edge_feature'] == 'vector'
    enabled = {RELATIONS[name]: float(on) for name, on in config['relations_enabled'].items()}
    published = _read_arrays(parameters)
    x_dict = {
        node_type: F.linear(batch[node_type].x, *(torch.from_numpy(published[f'{name}.{kind}'])
                                                  for kind in ('weight', 'bias')))
        for node_type, name in ENCODERS.items()
    }
    weights = batch.edge_weight_dict
    if vector:
        weights = {edge_type: weight.unsqueeze(-1).expand(-1, width) for edge_type, weight in weights.items()}
    trace = []
    for layer in range(config['num_layers']):
        trace.append(torch.stack([weights[t].mean(-1) if vector else weights[t] for t in EDGE_TYPES]))  # [4, P]
        if layer + 1 == config['num_layers']:
            break
        conv = DRINConv(width, width, dynamic=config['edge_update'] == 'dynamic',
                        edge_dim=width if vector else None).double()
        conv.load_state_dict(_published_state(conv.state_dict(), published, parameters, f'convs.{layer}.'))
        weights = {edge_type: weight * enabled[edge_type] for edge_type, weight in weights.items()}
        x_dict, weights = conv(x_dict, batch.edge_index_dict, weights)
    return torch.stack(trace) if trace else torch.zeros(0, len(EDGE_TYPES), batch.entity.numel())


def _losses(
    model: DRIN,
    tables: PairTables,
    candidates: Candidates,
    answer: Tensor,
    num_candidates: int,
    config: dict,
    steps: int,
) -> Tensor:
    """The margin loss before each Adam step of the published training, ``[steps]``."""
    optimizer = torch.optim.Adam(model.parameters(), lr=config['adam_lr'])
    num_mentions, size, losses = candidates.num_mentions, config['batch'], []
    columns = candidates.num_pairs // num_mentions
    mention = torch.arange(size).repeat_interleave(num_candidates)
    for step in range(steps):
        drawn = torch.arange(step * size, step * size + size) % num_mentions
        batch = candidate_batch(tables, candidates, drawn, context='mention')
        # An appended answer is part of the graph, but its score is dropped. Right is a column, not an
        # entity: published lists may name one entity twice.
        y = torch.arange(num_candidates) == answer[drawn].unsqueeze(1)  # [B, r]
        scores = model(batch.x_dict, batch.edge_index_dict, batch.edge_weight_dict)
        scores = scores.view(size, columns)[:, :num_candidates]         # [B, r]
        loss = margin_loss(scores.flatten(), y.flatten(), mention, config['margin'])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def _difference(ours: Tensor, published: np.ndarray) -> float:
    published = torch.from_numpy(np.asarray(published))
    if ours.shape != published.shape:
        raise ValueError(f"Our numbers have shape {list(ours.shape)}, the published ones {list(published.shape)}")
    return float((ours - published).abs().max()) if ours.numel() else 0.0
