from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field

import torch
from torch import Tensor
from torch_geometric.typing import EdgeType, NodeType

from drin_pyg.features.inner_products import inner_products
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_TEXT, MENTION_TEXT, MENTION_TYPES, NODE_TYPES


@dataclass(frozen=True, eq=False)
class PairTables:
    r"""Everything the graph builders gather from: features of all mentions and entities.

    Texts have one row per mention (or entity). Images have any number: ``ptr`` says which rows
    belong to whom, so a missing image is no row and several images are several rows.

    First edge weights are inner products: relation ``r`` holds one table for its mention side and
    one for its entity side, aligned with the rows of ``x``, and the edge between rows ``i`` and
    ``j`` starts at ``<weight[r][0][i], weight[r][1][j]>``. Cosines of any pair of encoders have
    this form (normalise the rows), and so has the paper's detector-weighted similarity of objects.

    Args:
        x: Node type to float features ``[rows, F]``, all four node types.
        weight: Edge type to ``(mention-side table [rows, D], entity-side table [rows, D])``, all
            four relations.
        ptr: Image node type to int64 ``[owners + 1]``: the images of owner ``i`` are the rows
            ``ptr[i]:ptr[i + 1]``. A type that is left out has one row per owner.
        known: Node types whose tables were looked through before: a knowledge base is large, and
            need not be read whole for each new mention.

    Raises:
        ValueError: If a table is missing, misaligned, of a wrong type or not finite; the message
            names it.

    Example:
        >>> x = {t: torch.randn(2, 8) for t in NODE_TYPES}
        >>> weight = {(src, name, dst): (x[src], x[dst]) for src, name, dst in EDGE_TYPES}
        >>> tables = PairTables(x, weight, ptr={'mention_image': torch.tensor([0, 0, 2])})
        >>> tables.num_rows('mention_image', torch.arange(2))  # none, and two
        tensor([0, 2])
    """

    x: dict[NodeType, Tensor]
    weight: dict[EdgeType, tuple[Tensor, Tensor]]
    ptr: dict[NodeType, Tensor] = field(default_factory=dict)
    known: InitVar[Sequence[NodeType]] = ()

    def __post_init__(self, known: Sequence[NodeType]) -> None:
        for node_type in NODE_TYPES:
            self._check_features(node_type, known)
        for edge_type in EDGE_TYPES:
            self._check_weight(edge_type, known)

    @property
    def num_mentions(self) -> int:
        """Number of mentions the tables hold."""
        return self.x[MENTION_TEXT].size(0)

    @property
    def num_entities(self) -> int:
        """Number of entities the tables hold."""
        return self.x[ENTITY_TEXT].size(0)

    def num_rows(self, node_type: NodeType, owner: Tensor) -> Tensor:
        """How many rows of ``node_type`` each mention (or entity) in ``owner`` ``[N]`` has, ``[N]``."""
        ptr = self.ptr.get(node_type)
        return torch.ones_like(owner) if ptr is None else ptr[owner + 1] - ptr[owner]

    def first_row(self, node_type: NodeType, owner: Tensor) -> Tensor:
        """First row of ``node_type`` of each mention (or entity) in ``owner`` ``[N]``, ``[N]``."""
        ptr = self.ptr.get(node_type)
        return owner if ptr is None else ptr[owner]

    def first_weight(self, edge_type: EdgeType, src_row: Tensor, dst_row: Tensor) -> Tensor:
        """First weight of the edges between the given table rows, ``[E]`` and ``[E]`` to ``[E]``.

        Fast where edges of one source row follow one another, as in a batch of graphs.
        """
        return inner_products(*self.weight[edge_type], src_row, dst_row)

    def _check_features(self, node_type: NodeType, known: Sequence[NodeType]) -> None:
        x = self.x.get(node_type)
        if x is None:
            raise ValueError(f"'x' lacks node type '{node_type}'; if nobody has such a feature, give an empty "
                             f"[0, F] tensor and a 'ptr' of zeros")
        if x.dim() != 2 or not x.is_floating_point() or x.size(1) == 0:
            raise ValueError(f"x['{node_type}'] must be a float tensor [rows, F] of a width F, got {x.dtype} "
                             f"{list(x.shape)}")
        owner_type = MENTION_TEXT if node_type in MENTION_TYPES else ENTITY_TEXT
        owners = self.x[owner_type].size(0)
        ptr = self.ptr.get(node_type)
        if ptr is not None:
            if node_type == owner_type:
                raise ValueError(f"'{node_type}' has one row per owner, so it takes no 'ptr'")
            if ptr.dtype != torch.long or ptr.dim() != 1 or ptr.numel() != owners + 1:
                raise ValueError(f"ptr['{node_type}'] must be int64 [{owners + 1}] (owners + 1), got {ptr.dtype} "
                                 f"{list(ptr.shape)}")
            if ptr[0] != 0 or ptr[-1] != x.size(0) or bool((ptr[1:] < ptr[:-1]).any()):
                raise ValueError(f"ptr['{node_type}'] must rise from 0 to the {x.size(0)} rows of "
                                 f"x['{node_type}']")
        elif x.size(0) != owners:
            raise ValueError(f"x['{node_type}'] has {x.size(0)} rows for {owners} rows of '{owner_type}'; if some "
                             f"have none or several, say whose they are with ptr['{node_type}']")
        if node_type not in known:
            check_finite(f"x['{node_type}']", x)

    def _check_weight(self, edge_type: EdgeType, known: Sequence[NodeType]) -> None:
        if edge_type not in self.weight:
            raise ValueError(f"'weight' lacks relation '{edge_type[1]}'; give its two tables, or zeros [rows, 1] "
                             f"for a relation that starts at 0")
        src, dst = self.weight[edge_type]
        for table, node_type in ((src, edge_type[0]), (dst, edge_type[2])):
            if table.dim() != 2 or table.size(0) != self.x[node_type].size(0):
                raise ValueError(f"The '{node_type}' table of weight['{edge_type[1]}'] must have one row for each "
                                 f"of the {self.x[node_type].size(0)} rows of x['{node_type}'], got "
                                 f"{list(table.shape)}")
            if node_type not in known:
                check_finite(f"weight['{edge_type[1]}']", table)
        if src.size(1) != dst.size(1) or src.dtype != dst.dtype:
            raise ValueError(f"The two tables of weight['{edge_type[1]}'] differ: {src.dtype} {list(src.shape)} and "
                             f"{dst.dtype} {list(dst.shape)}")


def check_finite(name: str, x: Tensor) -> None:
    """Raises ValueError naming ``name`` and its first bad row unless all of ``x`` is finite."""
    finite = torch.isfinite(x).reshape(x.size(0), -1).all(dim=-1) if x.numel() else x.new_ones(0, dtype=torch.bool)
    if not bool(finite.all()):
        bad = torch.nonzero(~finite).flatten()
        raise ValueError(f"{name} holds NaN or infinite values in {bad.numel()} row(s), the first is row "
                         f"{int(bad[0])}; a missing image is no row (see 'ptr'), not a row of NaN")
