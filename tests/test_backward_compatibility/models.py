"""Models of a few thousand parameters, for checkpoints that are small."""

from ..helpers.contrast import STUDENT, pcd
from ..helpers.models import cwd
from ..helpers.runs import distilled

TWO_STAGES = dict(
    depth=18,
    num_stages=2,
    strides=(1, 2),
    dilations=(1, 1),
    out_indices=(0, 1),
)
MEANS = dict(
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
)


def segmentor(width):
    """A segmentor with maps of ``width`` and twice as many channels."""
    return dict(
        _scope_='mmseg',
        type='EncoderDecoder',
        data_preprocessor=dict(
            type='SegDataPreProcessor', size=(64, 64), **MEANS
        ),
        backbone=dict(
            type='ResNet',
            stem_channels=width,
            base_channels=width,
            **TWO_STAGES,
        ),
        decode_head=dict(
            type='FCNHead',
            in_channels=2 * width,
            channels=width,
            num_convs=1,
            concat_input=False,
            dropout_ratio=0.0,  # a run is the same each time
            num_classes=4,
            norm_cfg=dict(type='BN'),
            align_corners=False,
            # Else all is background after a few iterations.
            loss_decode=dict(
                type='CrossEntropyLoss', class_weight=[0.05, 1.0, 1.0, 1.0]
            ),
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )


def detector(channels):
    """A RetinaNet of two levels with this many channels."""
    return dict(
        _scope_='mmdet',
        type='RetinaNet',
        data_preprocessor=dict(
            type='DetDataPreprocessor', pad_size_divisor=32, **MEANS
        ),
        backbone=dict(type='ResNet', base_channels=3, **TWO_STAGES),
        neck=dict(
            type='FPN', in_channels=[3, 6], out_channels=channels, num_outs=2
        ),
        bbox_head=dict(
            type='RetinaHead',
            num_classes=3,
            in_channels=channels,
            feat_channels=4,
            stacked_convs=1,
            anchor_generator=dict(
                type='AnchorGenerator',
                octave_base_scale=4,
                scales_per_octave=1,
                ratios=[1.0],
                strides=[4, 8],
            ),
        ),
        train_cfg=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.4,
                ignore_iof_thr=-1,
            ),
            sampler=dict(type='PseudoSampler'),
            allowed_border=-1,
            pos_weight=-1,
        ),
        test_cfg=dict(
            nms_pre=100,
            score_thr=0.01,
            nms=dict(type='nms', iou_threshold=0.5),
            max_per_img=10,
        ),
    )


#: Logits of random weights are nearly the same everywhere.
CWD_WEIGHT = 500.0
SEGMENTOR_TEACHER = dict(cfg=segmentor(4), checkpoint='segmentor_teacher.pth')
BACKBONE = STUDENT | TWO_STAGES | dict(out_indices=(1,))


def distilled_detector():
    """CWD on a pyramid whose teacher has more channels."""
    teacher = dict(cfg=detector(6), checkpoint='detector_teacher.pth')
    return distilled(detector(4), teacher, dict(cwd=cwd('neck')))


def distilled_segmentor():
    """CWD that grows, and MasKD on maps with other channels."""
    maskd = dict(
        type='mmdistill_dense.MaskedDetectionLoss',
        tokens='tokens.pth',
        custom_mask_warmup=3,
    )
    terms = dict(
        cwd=cwd('logits', CWD_WEIGHT, schedule=dict(begin=1, warmup=4)),
        maskd=dict(at='backbone', loss=maskd),
    )
    return distilled(segmentor(3), SEGMENTOR_TEACHER, terms)


def token_learner():
    """Stage 1 of MasKD, on the segmentor's teacher."""
    return dict(
        type='mmdistill_dense.MaskTokenLearner',
        _scope_='mmseg',
        teacher=SEGMENTOR_TEACHER,
        at='backbone',
        num_tokens=2,
        init_std=0.5,
    )


def pretraining(teacher):
    """PCD with a short queue; ``teacher`` of ``encoder_file``."""
    return dict(pcd(teacher, backbone=BACKBONE), _scope_='mmseg')
