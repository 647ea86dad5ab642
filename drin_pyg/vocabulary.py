r"""The vocabulary of the pair graph: node types, relations and metadata, as data.

No other module of the package spells a type name. Names use single underscores
because PyG joins the parts of an edge type with double ones.
"""

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
