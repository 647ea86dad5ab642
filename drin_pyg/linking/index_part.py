r"""Parts of an entity index: which arrays a model needs of its entities, and computing them."""

import uuid
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.typing import EdgeType, NodeType
from torch_geometric.utils import cumsum
from tqdm import tqdm

from drin_pyg.features.side_tables import SideTables
from drin_pyg.linking.tensor_file import Spec, map_tensors, write_tensors
from drin_pyg.nn import DRIN
from drin_pyg.nn.drin_conv import SHARED
from drin_pyg.vocabulary import ENTITY_IMAGE, ENTITY_TYPES

BATCH = 4096  # rows encoded at once
OWN_NAMES = ('num_images', 'ids', 'id_ptr')  # of a part, beside the arrays that scoring gathers from


def vertex_name(node_type: NodeType) -> str:
    """Array of an entity type's vertices."""
    return f'vertex.{node_type}'


def hidden_name(key: str, node_type: NodeType) -> str:
    """Array of :math:`W_h v`, with the :math:`W_h` of the receiver ``key``."""
    return f'hidden.{key}.{node_type}'


def weight_name(edge_type: EdgeType) -> str:
    """Array of the entity side of a relation's first weights."""
    return f'weight.{edge_type[1]}.{edge_type[2]}'


def is_image(name: str) -> bool:
    """Whether an array has a row an image and not a row an entity."""
    return name.endswith(ENTITY_IMAGE)


def new_name(kind: str) -> str:
    """A file name that no other has."""
    return f'{kind}-{uuid.uuid4().hex[:12]}.safetensors'


def _pack_ids(ids: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids as bytes, and where each begins."""
    blobs = [name.encode('utf-8', 'surrogatepass') for name in ids]
    joined = bytearray(b''.join(blobs))
    ptr = cumsum(torch.tensor([len(blob) for blob in blobs], dtype=torch.long))
    return torch.frombuffer(joined, dtype=torch.uint8) if joined else torch.empty(0, dtype=torch.uint8), ptr


def unpack_ids(part: dict[str, Tensor]) -> list[str]:
    """The ids of a part's entities."""
    blob, ptr = part['ids'].numpy().tobytes(), part['id_ptr'].tolist()
    return [blob[start:stop].decode('utf-8', 'surrogatepass') for start, stop in pairwise(ptr)]


def _first_layer(model: DRIN) -> tuple[set[NodeType], set[tuple[str, NodeType]], list[EdgeType]]:
    """What a model reads of the entities: vertices, W_h v by (receiver's W_h, type), relations with first weights."""
    if not model.convs:
        return {t for t in ENTITY_TYPES if t in model.encoders}, set(), model.edge_types if model.read_relations else []
    conv = model.convs[0]
    receivers, edge_types = set(conv.out_node_types), [tuple(t) for t in conv.metadata[1]]
    vertices = {t for t in ENTITY_TYPES if t in receivers} if conv.residual else set()
    if conv.dynamic:
        vertices |= {dst for _, _, dst in conv.out_edge_types}
    hidden = {(SHARED if conv.shared else t, t) for t in ENTITY_TYPES if t in receivers}
    hidden |= {(SHARED if conv.shared else src, dst) for src, _, dst in edge_types if src in receivers}
    return vertices, hidden, edge_types


def check_edges(model: DRIN) -> None:
    r"""Raises ValueError if a model cannot have an index."""
    if model.vector_edges:
        raise ValueError("An index serves models with scalar edges; score this one, whose edges are vectors, through "
                         "its forward pass on candidate_batch")


def make_part(
    model: DRIN,
    entities: SideTables,
    ids: Sequence[str] | None,
    dtype: torch.dtype,
    folder: Path | None = None,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> tuple[dict[str, Tensor], str | None]:
    r"""Computes the arrays of some entities, in memory, or in a file of ``folder`` whose name it returns with them."""
    num_entities = entities.text.size(0)
    ids = [str(i) for i in range(num_entities)] if ids is None else list(ids)
    if len(ids) != num_entities or len(set(ids)) != num_entities:
        raise ValueError(f"There must be one id, and another one, for each of the {num_entities} entities; got "
                         f"{len(ids)}, of which {len(set(ids))} differ")
    features = dict(zip(ENTITY_TYPES, (entities.text, entities.image), strict=True))
    vertices, hidden, edge_types = _first_layer(model)
    used = vertices | {t for _, t in hidden}
    for t in used:
        if features[t].size(1) != model.encoders[t].in_channels:
            raise ValueError(f"The model takes '{t}' features of width {model.encoders[t].in_channels}, got "
                             f"{features[t].size(1)}")
    blob, id_ptr = _pack_ids(ids)
    num_images = entities.ptr[1:] - entities.ptr[:-1]
    spec: Spec = {name: (x.dtype, tuple(x.shape)) for name, x in (('num_images', num_images), ('ids', blob),
                                                                  ('id_ptr', id_ptr))}
    spec |= {vertex_name(t): (dtype, (features[t].size(0), model.hidden_channels)) for t in vertices}
    spec |= {hidden_name(key, t): (dtype, (features[t].size(0), model.hidden_channels)) for key, t in hidden}
    spec |= {weight_name(e): (dtype, tuple(entities.weight[e].shape)) for e in edge_types}
    parameter = next(model.parameters())
    device = parameter.device if device is None else torch.device(device)
    compute = torch.promote_types(parameter.dtype, torch.float64 if dtype == torch.float64 else torch.float32)

    def put(x: Tensor) -> Tensor:
        return x.detach().to(device, compute)

    encoder = {t: (put(model.encoders[t].weight), put(model.encoders[t].bias)) for t in used}
    project = {(key, t): put(model.convs[0].lins[key].weight) for key, t in hidden}

    @torch.inference_mode()
    def fill(part: dict[str, Tensor]) -> None:
        for name, x in (('num_images', num_images), ('ids', blob), ('id_ptr', id_ptr)):
            part[name].copy_(x)
        total = sum(features[t].size(0) for t in used)
        with tqdm(total=total, desc='Indexing', disable=not progress, leave=False) as bar:
            for t in [t for t in ENTITY_TYPES if t in used]:
                for start in range(0, features[t].size(0), BATCH):
                    rows = slice(start, start + BATCH)
                    v = torch.nn.functional.linear(put(features[t][rows]), *encoder[t])
                    if t in vertices:
                        part[vertex_name(t)][rows] = v.to(dtype)
                    for key, of in hidden:
                        if of == t:
                            part[hidden_name(key, t)][rows] = (v @ project[key, t].t()).to(dtype)
                    bar.update(v.size(0))
        for e in edge_types:
            for start in range(0, entities.weight[e].size(0), BATCH):
                part[weight_name(e)][start:start + BATCH] = entities.weight[e][start:start + BATCH].to(dtype)

    if folder is None:
        part = {name: torch.zeros(shape, dtype=of) for name, (of, shape) in spec.items()}
        fill(part)
        return part, None
    name = new_name('part')
    write_tensors(folder / name, spec, fill)
    return map_tensors(folder / name), name


def check_arrays(model: DRIN, widths: dict[str, int], where: str = '') -> None:
    r"""Raises ValueError unless arrays of these widths are those that a model reads."""
    vertices, hidden, edge_types = _first_layer(model)
    made = {vertex_name(t) for t in vertices} | {hidden_name(key, t) for key, t in hidden}
    if widths.keys() != made | {weight_name(e) for e in edge_types} \
            or any(widths[name] != model.hidden_channels for name in made):
        raise ValueError(f"The arrays of the entity index{where} are not those that its model reads ({widths}); build "
                         f"it again")


def check_parts(parts: list[dict[str, Tensor]], row: Tensor | None, dtype: torch.dtype) -> None:
    r"""Raises ValueError unless parts that were read fit together, and ``row`` points into them."""
    total = 0
    for part in parts:
        rows = part['num_images'].numel()
        if part.keys() != parts[0].keys() or part['id_ptr'].numel() != rows + 1:
            raise ValueError('its parts do not fit together')
        for name, kind in (('num_images', torch.long), ('id_ptr', torch.long), ('ids', torch.uint8)):
            if part[name].dtype != kind or part[name].dim() != 1:
                raise ValueError(f"'{name}' is {part[name].dtype} {list(part[name].shape)}")
        ptr = part['id_ptr']
        if bool((part['num_images'] < 0).any()) or ptr[0] != 0 or ptr[-1] != part['ids'].numel() \
                or bool((ptr[1:] < ptr[:-1]).any()):
            raise ValueError('it counts images or ids wrongly')
        for name in part.keys() - set(OWN_NAMES):
            images = part['num_images'].double().sum()  # of any size: a sum of integers would begin again
            shape = [int(images) if is_image(name) else rows, parts[0][name].size(1)]
            if part[name].dtype != dtype or list(part[name].shape) != shape:
                raise ValueError(f"'{name}' is {part[name].dtype} {list(part[name].shape)}, not {dtype} {shape}")
        total += rows
    if row is None and len(parts) > 1:
        raise ValueError('it has several parts but does not say which entity is where')
    if row is not None and (row.dtype != torch.long or row.dim() != 1):
        raise ValueError(f"'row' is {row.dtype} {list(row.shape)}")
    if row is not None and bool(((row < -1) | (row >= total)).any()):
        raise ValueError('it points outside of its parts')
