"""What property tests draw: odd shapes, and numbers of every size that squares of their products leave floats."""

import torch
from hypothesis import strategies as st

from drin_pyg.features import Candidates, PairTables
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, ENTITY_TEXT, MENTION_IMAGE, MENTION_TEXT
from tests.world import World

# A first layer squares what messages add up to, weight times vertex: that must stay below 3e38, or 1e308 in float64.
LARGE = {torch.float32: 1e7, torch.float64: 1e30}
LARGE_WEIGHT = {torch.float32: 1e3, torch.float64: 1e15}  # of either table: their product is the weight
KINDS = ('normal', 'zeros', 'large', 'tiny', 'mixed', 'equal')

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=6)


def fill(shape, kind, seed, dtype=torch.float32, large=None):
    """A tensor of finite numbers of a kind."""
    large = LARGE[dtype] if large is None else large
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if kind == 'zeros':
        x = x * 0
    elif kind == 'large':
        x = x.sign() * large
    elif kind == 'tiny':
        x = x * 1e-39  # subnormal in float32
    elif kind == 'mixed':
        x = (x.sign() * 10 ** x.mul(12).clamp(-38, 30)).clamp(-large, large)
    elif kind == 'equal':
        x = x * 0 + 0.5
    return x.to(dtype)


@st.composite
def tensors(draw, shape, dtype=torch.float32, kinds=KINDS):
    """Finite floats of a shape."""
    return fill(shape, draw(st.sampled_from(kinds)), draw(st.integers(0, 10**6)), dtype)


@st.composite
def worlds(draw, kinds=KINDS, max_images=3, dtype=torch.float32, given=True):
    """Tables and candidate lists that fit: no image or several, empty lists, repeated candidates, given weights."""
    mentions, entities = draw(st.integers(0, 4)), draw(st.integers(1, 5))
    images = st.integers(0, max_images)
    counts = {MENTION_IMAGE: draw(st.lists(images, min_size=mentions, max_size=mentions)),
              ENTITY_IMAGE: draw(st.lists(images, min_size=entities, max_size=entities))}
    rows = {MENTION_TEXT: mentions, ENTITY_TEXT: entities, **{t: sum(n) for t, n in counts.items()}}
    x = {t: draw(tensors((n, draw(st.integers(1, 4))), dtype, kinds)) for t, n in rows.items()}
    weight = {}
    for edge_type in EDGE_TYPES:
        width, kind = draw(st.integers(1, 3)), draw(st.sampled_from(kinds))
        seed = draw(st.integers(0, 10**6))
        weight[edge_type] = tuple(fill((rows[end], width), kind, seed + i, dtype, LARGE_WEIGHT[dtype])
                                  for i, end in enumerate(edge_type[::2]))
    ptr = {t: torch.tensor([0, *n]).cumsum(0) for t, n in counts.items()}
    lists = draw(st.lists(st.lists(st.integers(0, entities - 1), max_size=5), min_size=mentions, max_size=mentions))
    gold = draw(st.lists(st.integers(-1, entities - 1), min_size=mentions, max_size=mentions))
    candidates = Candidates.from_lists(lists, gold)
    some = {e: draw(tensors((candidates.num_pairs, ), dtype, kinds)) for e in EDGE_TYPES
            if given and max_images < 2 and draw(st.booleans())}
    return World(PairTables(x, weight, ptr), Candidates(candidates.ptr, candidates.entity, candidates.gold, some))


@st.composite
def graphs(draw, metadata, channels, edge_dim=None, dtype=torch.float64, kinds=KINDS):
    """Vertices, edges and weights of any metadata: nothing, one vertex, edges that repeat, in any order."""
    x, edge_index, edge_weight = {}, {}, {}
    for node_type in metadata[0]:
        x[node_type] = draw(tensors((draw(st.integers(0, 4)), channels), dtype, kinds))
    for edge_type in metadata[1]:
        src, _, dst = edge_type
        ends = st.tuples(st.integers(0, x[src].size(0) - 1), st.integers(0, x[dst].size(0) - 1))
        some = draw(st.lists(ends, max_size=8)) if x[src].size(0) and x[dst].size(0) else []
        edge_index[edge_type] = torch.tensor(some, dtype=torch.long).reshape(-1, 2).t().contiguous()
        shape = (len(some), ) if edge_dim is None else (len(some), edge_dim)
        edge_weight[edge_type] = draw(tensors(shape, dtype, kinds))
    return x, edge_index, edge_weight
