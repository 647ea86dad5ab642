r"""The vocabulary of the pair graph: node types, relations and metadata, as data.

No other module of the package spells a type name. Names use single underscores
because PyG joins the parts of an edge type with double ones. PyG itself is not loaded here: the
command completes the names of relations, and nobody waits for PyTorch at a tab.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch_geometric.typing import EdgeType, Metadata, NodeType

MENTION_TEXT: NodeType = 'mention_text'    # the mention in its sentence
MENTION_IMAGE: NodeType = 'mention_image'  # the image beside the sentence
ENTITY_TEXT: NodeType = 'entity_text'      # the candidate's name and description
ENTITY_IMAGE: NodeType = 'entity_image'    # the candidate's image

#: Node types of the pair graph, mention side first (DRIN, Section 3.3).
NODE_TYPES: list[NodeType] = [MENTION_TEXT, MENTION_IMAGE, ENTITY_TEXT, ENTITY_IMAGE]

#: Node types that belong to the mention, and to the candidate entity.
MENTION_TYPES: list[NodeType] = [MENTION_TEXT, MENTION_IMAGE]
ENTITY_TYPES: list[NodeType] = [ENTITY_TEXT, ENTITY_IMAGE]

TEXT_TEXT: EdgeType = (MENTION_TEXT, 'text_text', ENTITY_TEXT)
TEXT_IMAGE: EdgeType = (MENTION_TEXT, 'text_image', ENTITY_IMAGE)
IMAGE_TEXT: EdgeType = (MENTION_IMAGE, 'image_text', ENTITY_TEXT)
IMAGE_IMAGE: EdgeType = (MENTION_IMAGE, 'image_image', ENTITY_IMAGE)

#: The four relations, mention side first. Each edge is undirected: one weight
#: serves both directions, so there are no reverse edge types.
EDGE_TYPES: list[EdgeType] = [TEXT_TEXT, TEXT_IMAGE, IMAGE_TEXT, IMAGE_IMAGE]

#: What PyG calls the metadata of a heterogeneous graph.
METADATA: Metadata = (NODE_TYPES, EDGE_TYPES)

#: Relation name, e.g. ``'text_text'``, to its edge type.
RELATIONS: dict[str, EdgeType] = {edge_type[1]: edge_type for edge_type in EDGE_TYPES}

# More vertices and relations than the paper's, for :class:`~drin_pyg.nn.HeteroDRIN`; graphs have them if a transform
# (:mod:`drin_pyg.graph.extra_vertices`, :mod:`drin_pyg.graph.link_candidates`) adds them.
MENTION_SURFACE: NodeType = 'mention_surface'  # the mention's words without its sentence
MENTION_REGION: NodeType = 'mention_region'    # a region of, or an object in, an image beside the sentence
ENTITY_NAME: NodeType = 'entity_name'          # the candidate's name without its description

SURFACE_TEXT: EdgeType = (MENTION_SURFACE, 'surface_text', ENTITY_TEXT)
SURFACE_IMAGE: EdgeType = (MENTION_SURFACE, 'surface_image', ENTITY_IMAGE)
REGION_TEXT: EdgeType = (MENTION_REGION, 'region_text', ENTITY_TEXT)
REGION_IMAGE: EdgeType = (MENTION_REGION, 'region_image', ENTITY_IMAGE)
TEXT_NAME: EdgeType = (MENTION_TEXT, 'text_name', ENTITY_NAME)
SURFACE_NAME: EdgeType = (MENTION_SURFACE, 'surface_name', ENTITY_NAME)
SIMILAR: EdgeType = (ENTITY_TEXT, 'similar', ENTITY_TEXT)  # between candidates of one mention

#: Which of the paper's node types each further one is a kind of: their features are made alike.
KIND_OF: dict[NodeType, NodeType] = {
    MENTION_SURFACE: MENTION_TEXT,
    MENTION_REGION: MENTION_IMAGE,
    ENTITY_NAME: ENTITY_TEXT,
}

#: Relations between a mention and a candidate whose two ends are of one modality, so that they compare untrained.
SAME_MODALITY: list[EdgeType] = [TEXT_TEXT, IMAGE_IMAGE, SURFACE_TEXT, REGION_IMAGE, TEXT_NAME, SURFACE_NAME]
