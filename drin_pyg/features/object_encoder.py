from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drin_pyg.datasets import Picture
from drin_pyg.features.first_weights import object_table
from drin_pyg.features.picture_encoder import PictureEncoder, picture_keys
from drin_pyg.features.revision import loading, revision_of
from drin_pyg.features.row_encoder import RowEncoder

MIN_SIZE = 2  # pixels; a thinner box shows nothing


def faster_rcnn(weights: str = 'COCO_V1') -> torch.nn.Module:
    r"""torchvision's Faster R-CNN (ResNet-50 FPN), DRIN's detector.

    Args:
        weights: Name of torchvision's weights, downloaded on first use, or a local file with a state
            dict.

    Raises:
        ValueError: If torchvision has no such weights.
    """
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights as Weights
    from torchvision.models.detection import fasterrcnn_resnet50_fpn

    if Path(weights).is_file():
        with loading(weights):
            model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
            model.load_state_dict(torch.load(weights, map_location='cpu', weights_only=True))
        model.revision = revision_of(weights, lambda: None)
        return model
    if weights not in Weights.__members__:
        raise ValueError(f"torchvision's Faster R-CNN has no weights '{weights}'; known are "
                         f"{', '.join(Weights.__members__)}, or name a local file")
    with loading(f'Faster R-CNN, {weights}'):
        model = fasterrcnn_resnet50_fpn(weights=Weights[weights])
    model.revision = Weights[weights].url.rsplit('/', 1)[-1]
    return model


class ObjectEncoder(RowEncoder):
    r"""The objects detected in a picture, described by a picture encoder: DRIN's image-image weight.

    The ``num_objects`` boxes that the detector is surest of are cut out of the picture, encoded, and
    joined to one row by :func:`object_table` (column ``"pooled"``): inner products of rows are
    DRIN's object similarity. A picture in which nothing is found has a row of zeros.

    Args:
        detector: Takes a list of ``[3, H, W]`` in 0..1, returns ``boxes`` ``[N, 4]`` and ``scores``
            ``[N]`` of each, as torchvision's detectors do.
        backbone: Describes the objects.
        num_objects: Objects of a picture (the paper: 3 of a mention's, 1 of an entity's).
        batch_size: Pictures at once; detection at full size takes much memory.
    """

    name = 'objects'

    def __init__(self, detector: torch.nn.Module, backbone: PictureEncoder, num_objects: int, batch_size: int = 8):
        super().__init__(backbone.device)
        self.detector = detector.eval().to(self.device)
        self.backbone = backbone
        self.num_objects = num_objects
        self.batch_size = batch_size

    @property
    def spec(self) -> dict[str, Any]:
        return {'encoder': 'objects', 'model': type(self.detector).__name__,
                'revision': getattr(self.detector, 'revision', 'unknown'), 'num_objects': self.num_objects,
                'backbone': self.backbone.spec}

    def keys(self, items: Sequence[Picture]) -> list[str | None]:
        return picture_keys(items)

    def prepare(self, item: Picture) -> Tensor:
        from torchvision.transforms.functional import pil_to_tensor

        return pil_to_tensor(item.open())  # [3, H, W], bytes

    def encode(self, batch: list[Tensor]) -> dict[str, Tensor]:
        objects, scores = self.detect(batch)
        return {'pooled': object_table(objects.float(), scores)}

    def detect(self, batch: list[Tensor]) -> tuple[Tensor, Tensor]:
        r"""Features ``[B, num_objects, F]`` and scores ``[B, num_objects]`` of the objects of pictures (bytes
        ``[3, H, W]``), the surest first; missing ones have score 0."""
        from torchvision.transforms.functional import to_pil_image

        scores = torch.zeros(len(batch), self.num_objects, device=self.device)
        places, crops = [], []
        # Boxes are too coarse in bfloat16.
        with torch.autocast(self.device.type, enabled=False):
            found = self.detector([x.to(self.device).float() / 255 for x in batch]) if batch else []
        for row, (picture, detected) in enumerate(zip(batch, found, strict=True)):
            surest = detected['scores'].argsort(descending=True, stable=True)[:self.num_objects]
            for place, i in enumerate(surest.tolist()):
                left, upper, right, lower = detected['boxes'][i].round().long().tolist()
                if right - left < MIN_SIZE or lower - upper < MIN_SIZE:
                    continue
                scores[row, place] = detected['scores'][i]
                places.append(row * self.num_objects + place)
                crops.append(self.backbone.transform(to_pil_image(picture[:, upper:lower, left:right])))
        described = self.backbone.encode(crops)['pooled'].float()                                 # [crops, F]
        objects = described.new_zeros(len(batch) * self.num_objects, described.size(1))
        objects[torch.tensor(places, dtype=torch.long, device=self.device)] = described
        return objects.view(len(batch), self.num_objects, described.size(1)), scores
