"""The students and teachers whose training steps are measured."""

from dataclasses import dataclass

Size = tuple[int, int]


@dataclass(frozen=True)
class Pair:
    """Student and teacher of a shipped config.

    Attributes:
        config: Config, relative to ``configs/``.
        quick: Config for quick runs.
        levels: Number of compared maps; 0 for one tensor, the logits.
        source: Name of the recorded module, in both models.
        sizes: Number of images, and their height and width in pixels, by
            device and for quick runs.
    """

    config: str
    quick: str
    levels: int
    source: str
    sizes: dict[str, tuple[int, Size]]


PAIRS = {
    'mask-rcnn': Pair(
        'cwd/cwd_neck_mask-rcnn_r101_mask-rcnn_r50_fpn_1x_coco.py',
        'demo/cwd_mask-rcnn_shapes.py',
        5,
        'neck',
        dict(cpu=(1, (320, 320)), cuda=(2, (800, 1344)), quick=(1, (96, 128))),
    ),
    'pspnet': Pair(
        'cwd/cwd_logits-openmmlab_pspnet_r101-d8_pspnet_r18-d8_4xb2-80k_'
        'cityscapes-512x1024.py',
        'demo/cwd_pspnet_shapes.py',
        0,
        'decode_head.conv_seg',
        dict(cpu=(2, (256, 512)), cuda=(2, (512, 1024)), quick=(2, (64, 64))),
    ),
}
