import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence
from torch_geometric.data import HeteroData
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.utils import scatter

from drin_pyg.baselines.add_sequences import need_sequences
from drin_pyg.baselines.baseline import Baseline
from drin_pyg.baselines.scaled_cosine import ScaledCosine
from drin_pyg.baselines.sides import Sides
from drin_pyg.features import PairTables
from drin_pyg.vocabulary import ENTITY_IMAGE, ENTITY_TEXT, MENTION_IMAGE


class MELHI(Baseline):
    r"""An LSTM from either side towards the mention, and a filter on images, after `"Attention-Based Multimodal
    Entity Linking with High-Quality Images" <https://doi.org/10.1007/978-3-030-73197-7_35>`_ (DASFAA 2021), on frozen
    features.

    One Linear maps images to the space of the tokens. With tokens :math:`\mathbf{t}_1 \ldots \mathbf{t}_T` of the
    sentence, of which :math:`\mathbf{t}_a \ldots \mathbf{t}_b` are the mention's words, their means
    :math:`\bar{\mathbf{t}}` and :math:`\bar{\mathbf{t}}_m`, the text :math:`\mathbf{e}` of an entity, and images
    :math:`\mathbf{i}_m`, :math:`\mathbf{i}_e`, mapped,

    .. math::
        \mathbf{x}_j &= [\mathbf{t}_j; \bar{\mathbf{t}}_m; \kappa\, \mathbf{i}_m], \qquad
        \mathbf{m} = \mathbf{W}_m [\mathrm{LSTM}(\mathbf{x}_1, \ldots, \mathbf{x}_b);
                                   \mathrm{LSTM}(\mathbf{x}_T, \ldots, \mathbf{x}_a)], \qquad
        \mathbf{c} = \mathbf{W}_c [\mathbf{e}; \mathbf{i}_e], \\
        \kappa &= [\cos(\mathbf{i}_m, \bar{\mathbf{t}}) > \tau] \cdot
                  [\max_{\text{candidates}} \cos(\mathbf{i}_m, \mathbf{i}_e) > \tau].

    One LSTM reads the left context from the left, and the right context from the right, so that both end at the
    mention, whose own words belong to both; of each its last state counts. The score is the cosine of
    :math:`\mathbf{m}` and :math:`\mathbf{c}` (:class:`ScaledCosine`). Of several images the mean of the mapped ones
    counts; zeros stand in for a missing one. The filter :math:`\kappa` keeps an image or drops it, with ``threshold``
    for :math:`\tau`: what is kept depends on the whole list of candidates.

    Batches need :class:`AddSequences`; :meth:`start_images` comes before training.

    Args:
        hidden_channels: Width of the LSTM and of the vectors that are compared.
        text_channels: Width of the tokens, to which images are mapped.
        threshold: Of the filter's two cosines; -1 (or less) keeps every image.
        scaled: Whether cosines have a learned scale; not with the margin loss, see :class:`ScaledCosine`.
    """

    def __init__(
        self,
        hidden_channels: int = 128,
        text_channels: int = 384,
        threshold: float = 0.3,
        scaled: bool = True,
    ):
        super().__init__()
        self.hidden_channels = hidden_channels
        self.text_channels = text_channels
        self.threshold = threshold
        self.scaled = scaled
        self.image = Linear(-1, text_channels)
        self.lstm = torch.nn.LSTM(3 * text_channels, hidden_channels, batch_first=True)
        self.mention = Linear(2 * hidden_channels, hidden_channels)
        self.entity = Linear(-1, hidden_channels)
        self.cosine = ScaledCosine(scaled)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for module in self.children():
            module.reset_parameters()

    @torch.no_grad()
    def start_images(self, tables: PairTables) -> 'MELHI':
        r"""Starts the map of images where a closed form gets: called before training.

        A random map leaves every image nearly orthogonal to every sentence, so that the filter would drop them all;
        and as it is a choice, no gradient would teach it otherwise. Here the map becomes the ridge regression of the
        entities' texts on their images (of several, the first); no mention and no answer is used.

        Args:
            tables: Features; texts of entities are as wide as tokens.

        Returns:
            The model itself; its map is as it was if no entity has an image.

        Raises:
            ValueError: If texts of entities are not ``text_channels`` wide.
        """
        from sklearn.linear_model import Ridge

        text = tables.x[ENTITY_TEXT]
        if text.size(1) != self.text_channels:
            raise ValueError(f"Texts of entities are {text.size(1)} wide, but images are mapped to text_channels="
                             f"{self.text_channels}; train without this start")
        self.image(tables.x[ENTITY_IMAGE][:0])  # infers the width, if that is still open
        owner = torch.arange(tables.num_entities)
        owner = owner[tables.num_rows(ENTITY_IMAGE, owner) > 0]
        if owner.numel():
            image = tables.x[ENTITY_IMAGE][tables.first_row(ENTITY_IMAGE, owner)]
            ridge = Ridge(alpha=1.0).fit(image.numpy(), text[owner].numpy())
            self.image.weight.copy_(torch.from_numpy(ridge.coef_))
            self.image.bias.copy_(torch.from_numpy(ridge.intercept_))
        return self

    def images(self, batch: HeteroData, sides: Sides) -> tuple[Tensor, Tensor, Tensor]:
        r"""Mapped images of the distinct mentions ``[B, F]`` and entities ``[C, F]`` before the filter, and which of
        the mentions' it keeps, bool ``[B]``."""
        mention, has_mention = sides.mean(MENTION_IMAGE, self.image)
        entity, has_entity = sides.mean(ENTITY_IMAGE, self.image)
        sentence = _mean(batch.tokens, batch.token_mask)                                       # [B, F]
        with torch.no_grad():  # a choice, through which no gradient flows
            clear = F.cosine_similarity(mention, sentence, dim=-1) > self.threshold            # [B]
            u, v = F.normalize(mention, dim=-1), F.normalize(entity, dim=-1)
            at_u, at_v = sides.mention.of_pair, sides.entity.of_pair
            alike = ((u[at_u] * v[at_v]).sum(-1) > self.threshold) & has_entity[at_v]          # [P]
            seen = scatter(alike.long(), at_u, dim_size=clear.numel()) > 0                     # [B]
        return mention, entity, has_mention & clear & seen

    def forward(self, batch: HeteroData) -> Tensor:
        need_sequences(self, batch)
        tokens, mask = batch.tokens, batch.token_mask                                          # [B, T, F], [B, T]
        if tokens.size(-1) != self.text_channels:
            raise ValueError(f"Tokens are {tokens.size(-1)} wide, but this MELHI was built for "
                             f"text_channels={self.text_channels}; build it with text_channels={tokens.size(-1)}")
        sides = Sides(batch)
        image, entity_image, keep = self.images(batch, sides)
        image = image * keep.unsqueeze(-1)
        # Where nothing is marked, all of the sentence is the mention.
        marked = torch.where((batch.token_marked & mask).any(1, keepdim=True), batch.token_marked & mask, mask)
        around = torch.cat([_mean(tokens, marked), image], dim=-1)                             # [B, 2F]
        x = torch.cat([tokens, around.unsqueeze(1).expand(-1, tokens.size(1), -1)], dim=-1)    # [B, T, 3F]
        mention = self.mention(self._read(x, mask, marked))                                    # [B, D]
        text, _ = sides.mean(ENTITY_TEXT)                                                      # [C, F']
        entity = self.entity(torch.cat([text, entity_image], dim=-1))                          # [C, D]
        return self.cosine(mention, entity, sides.mention.of_pair, sides.entity.of_pair)

    def _read(self, x: Tensor, mask: Tensor, marked: Tensor) -> Tensor:
        """Last states of the two contexts, ``[B, 2D]``; zeros of a mention without tokens."""
        size, length = x.shape[:2]
        if size * length == 0:
            return x.new_zeros(size, 2 * self.hidden_channels)
        place = torch.arange(length, device=x.device)
        count = mask.sum(1)                                                # [B]
        first = marked.int().argmax(1)                                     # [B]
        last = (marked * place).amax(1)                                    # [B]
        backwards = (count.unsqueeze(1) - 1 - place).clamp(min=0)          # [B, T]
        right = x.gather(1, backwards.unsqueeze(-1).expand_as(x))          # [B, T, 3F], its last token first
        read = torch.cat([last + 1, (count - first).clamp(min=1)])         # tokens to read, [2B]
        packed = pack_padded_sequence(torch.cat([x, right]), read.cpu(), batch_first=True, enforce_sorted=False)
        state = self.lstm(packed)[1][0][0]                                 # [2B, D]
        left, right = (state * (count > 0).repeat(2).unsqueeze(-1)).split(size)
        return torch.cat([left, right], dim=-1)


def _mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean ``[B, F]`` of the rows ``[B, T, F]`` in the mask ``[B, T]``; zeros where there is none."""
    weight = mask.to(x).unsqueeze(-1)                                      # [B, T, 1]
    return (x * weight).sum(1) / weight.sum(1).clamp(min=1)
