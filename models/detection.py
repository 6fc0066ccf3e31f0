"""Detectors: an image becomes one tensor of numbers; what loss it has, and which boxes are read off it, the net says.

truths: [B, M, 6], rows of edges (left, top, right, bottom, in pixels), class, and 1 for a crowd; class -1 is no box.
found: [B, K, 6], rows of edges, score and class, padded likewise. A crowd's box teaches nothing.
"""

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from models.blocks import conv_bn
from models.resnet import resnet20

OVERLAP = 0.7  # that a box keeps with its object when its middle is at the radius of the object's peak
MOST = 100  # boxes of an image, as many as COCO's measure looks at


def taught(truths: Tensor) -> Tensor:
    """Return which rows of truths are boxes to be found, bool [B, M]."""
    return (truths[..., 4] >= 0) & (truths[..., 5] == 0)


class CenterNet(nn.Module):
    """Objects as points (Zhou et al. 2019): a peak in its class's map, with the box's size and its middle's offset.

    pretrained_part, neck: from images to maps [B, channels, S / stride, S / stride]. The answer has num_classes + 4
    of these: logits of the peaks, width and height, offset in x and y, in cells. cut: the head of the pretrained net.
    """

    cut = "fc."

    def __init__(
        self, pretrained_part: nn.Module, neck: nn.Module, channels: int, num_classes: int, stride: int = 4
    ) -> None:
        super().__init__()
        self.pretrained_part, self.neck, self.num_classes, self.stride = pretrained_part, neck, num_classes, stride
        self.heads = nn.ModuleList(_head(channels, outputs) for outputs in (num_classes, 2, 2))
        nn.init.constant_(self.heads.get_parameter("0.2.bias"), -2.19)  # a tenth of the places are peaks at first

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, S, S]."""
        maps = self.neck(self.pretrained_part(x))
        return torch.cat([head(maps) for head in self.heads], 1)

    def loss(self, answer: Tensor, truths: Tensor) -> Tensor:
        """Return the focal loss of the peaks, the L1 loss of the offsets, and a tenth of that of the sizes."""
        logits, rest = answer.split([self.num_classes, 4], 1)
        image, row = taught(truths).nonzero(as_tuple=True)
        boxes = truths[image, row, :4] / self.stride
        sizes, middles = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
        cells = middles.long().clamp(max=answer.shape[-1] - 1)
        wanted = self.peaks(truths, logits)
        at, p = wanted == 1, logits.sigmoid()
        focal = torch.where(at, (1 - p) ** 2 * F.logsigmoid(logits), (1 - wanted) ** 4 * p**2 * F.logsigmoid(-logits))
        found = rest[image, :, cells[:, 1], cells[:, 0]]
        weights = answer.new_tensor([0.1, 0.1, 1.0, 1.0]) / max(1, 2 * len(found))
        apart: Tensor = (found - torch.cat((sizes, middles - cells), 1)).abs() * weights
        return apart.sum() - focal.sum() / max(1, int(at.sum()))

    def peaks(self, truths: Tensor, like: Tensor) -> Tensor:
        """Return what the maps of the peaks are to be: 1 at a middle, falling as a normal density up to its radius.

        The radius is that of the code of CornerNet, which CenterNet has too: the smallest of three roots, each of them
        without the division by its first coefficient.
        """
        edges, along = truths[..., :4] / self.stride, torch.arange(like.shape[-1], device=like.device)
        sizes, middles = edges[..., 2:] - edges[..., :2], ((edges[..., :2] + edges[..., 2:]) / 2).floor()
        both = OVERLAP * sizes.sum(2)
        radius = ((both**2 + 4 * OVERLAP * (1 - OVERLAP) * sizes.prod(2)).sqrt() - both).floor()[..., None, None]
        away = along - middles[..., None]  # [B, M, 2, S / stride]: in x and in y
        falling = torch.exp(-(away**2) / (2 * ((2 * radius + 1) / 6) ** 2)) * (away.abs() <= radius)
        wanted, boxes = torch.zeros_like(like), taught(truths)
        for number in range(truths.shape[1]):
            image = boxes[:, number].nonzero()[:, 0]
            label, (x, y) = truths[image, number, 4].long(), falling[image, number].unbind(1)
            wanted[image, label] = wanted[image, label].maximum(y[:, :, None] * x[:, None])
        return wanted

    def boxes(self, answer: Tensor) -> Tensor:
        """Return found: the highest peaks, each the highest of its nine places."""
        logits, rest = answer.split([self.num_classes, 4], 1)
        scores, width = logits.sigmoid(), answer.shape[-1]
        scores = scores * (scores == F.max_pool2d(scores, 3, 1, 1))
        best, at = scores.flatten(1).topk(min(MOST, scores[0].numel()))
        label, cell = at // rest[0, 0].numel(), at % rest[0, 0].numel()
        sizes, offsets = rest.flatten(2).gather(2, cell[:, None].expand(-1, 4, -1)).transpose(1, 2).split(2, 2)
        middles = torch.stack((cell % width, cell // width), 2) + offsets
        edges = torch.cat((middles - sizes / 2, middles + sizes / 2), 2) * self.stride
        return torch.cat((edges, best[..., None], label[..., None]), 2)


def _head(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, outputs, 1))


class SSD(nn.Module):
    """torchvision's SSD (Liu et al. 2016) with 300 pixels over VGG16 with batch norm; the answer is [B, 8732, C + 5].

    Of each default box it has four numbers, from which its edges are computed, and logits, the first for no object.
    """

    anchors: Tensor
    cut = "classifier."  # of the pretrained net

    def __init__(self, num_classes: int) -> None:
        from torchvision.models import vgg
        from torchvision.models.detection import ssd
        from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
        from torchvision.models.detection.image_list import ImageList

        super().__init__()
        features = vgg.make_layers(vgg.cfgs["D"], batch_norm=True)
        for conv in (layer for layer in features if isinstance(layer, nn.Conv2d)):  # as torchvision's VGG begins
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(conv.get_parameter("bias"))
        shapes, steps = [[2], [2, 3], [2, 3], [2, 3], [2], [2]], [8, 16, 32, 64, 100, 300]
        boxes = DefaultBoxGenerator(shapes, scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05], steps=steps)
        backbone = ssd.SSDFeatureExtractorVGG(features, False)
        self.detector = ssd.SSD(backbone, boxes, (300, 300), num_classes + 1, detections_per_img=MOST)
        maps = [torch.empty(1, 1, side, side) for side in (38, 19, 10, 5, 3, 1)]
        (anchors,) = boxes(ImageList(torch.empty(1, 3, 300, 300), [(300, 300)]), maps)
        self.register_buffer("anchors", anchors, persistent=False)

    @property
    def pretrained_part(self) -> nn.Module:
        """Return the layers of VGG16 under their names there."""
        backbone = self.detector.backbone
        return nn.ModuleDict({"features": nn.Sequential(*backbone.features, *backbone.extra[0][:-1])})

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, 3, 300, 300]."""
        found = self.detector.head([*self.detector.backbone(x).values()])
        return torch.cat((found["bbox_regression"], found["cls_logits"]), 2)

    def loss(self, answer: Tensor, truths: Tensor) -> Tensor:
        """Return torchvision's loss, with three times as many default boxes without an object as with one."""
        from torchvision.ops import box_iou

        boxes = [rows[kept] for rows, kept in zip(truths, taught(truths), strict=True)]
        wanted = [{"boxes": rows[:, :4], "labels": rows[:, 4].long() + 1} for rows in boxes]
        match, nothing = self.detector.proposal_matcher, torch.full((len(self.anchors),), -1, device=truths.device)
        matched = [match(box_iou(rows[:, :4], self.anchors)) if len(rows) else nothing for rows in boxes]
        parts = self.detector.compute_loss(wanted, _parted(answer), [self.anchors] * len(boxes), matched)
        return torch.stack([*parts.values()]).sum()

    def boxes(self, answer: Tensor) -> Tensor:
        """Return found, without boxes that overlap a higher one of their class by 0.45 of their union or more."""
        sides, anchors = [(300, 300)] * len(answer), [self.anchors] * len(answer)
        found = self.detector.postprocess_detections(_parted(answer), anchors, sides)
        rows = [torch.cat((one["boxes"], one["scores"][:, None], one["labels"][:, None] - 1), 1) for one in found]
        return pad_sequence(rows, batch_first=True, padding_value=-1)


def _parted(answer: Tensor) -> dict[str, Tensor]:
    return {"bbox_regression": answer[..., :4], "cls_logits": answer[..., 4:]}


def ssd300_vgg16_bn(num_classes: int, image_size: int = 300) -> SSD:
    """SSD300: 35,650,274 parameters for 90 classes. Raises ValueError for images of another size."""
    if image_size != 300:
        raise ValueError(f"data.image_size: {image_size}, but SSD300's default boxes are of images with 300 pixels")
    return SSD(num_classes)


def centernet_resnet18(num_classes: int) -> CenterNet:
    """CenterNet over torchvision's ResNet18, whose maps three steps double, to a stride of 4.

    A step is a 3x3 convolution and a transposed one, to 256, 128 and 64 channels. In CenterNet the former is
    deformable; torchvision's has no deterministic backward pass on CUDA, so here it is plain.
    """
    from torchvision.models import resnet18

    neck: list[nn.Module] = []
    for inputs, outputs in pairwise((512, 256, 128, 64)):
        neck += [*conv_bn(inputs, outputs, 3), nn.ReLU()]
        neck += [nn.ConvTranspose2d(outputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    layers = nn.Sequential(OrderedDict([*resnet18().named_children()][:-2]))  # without pooling and classifier
    return CenterNet(layers, nn.Sequential(*neck), 64, num_classes)


def centernet_small(num_classes: int, in_channels: int = 3, layers: int = 8) -> CenterNet:
    """CenterNet over the study's small ResNet, whose last maps have a stride of 4, for two CPU cores."""
    net = resnet20(num_classes, in_channels, layers=layers)
    return CenterNet(nn.Sequential(net.stem, net.stages), nn.Identity(), 64, num_classes)
