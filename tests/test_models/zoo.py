"""More stock models made small; see ``tests/helpers/models.py``."""

from ..helpers.models import FCOS, RETINANET, stock

GFL = 'mmdet::gfl/gfl_r50_fpn_1x_coco.py'
YOLOX = 'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py'
DEFORMABLE_DETR = (
    'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py'
)
DEEPLAB = 'mmseg::deeplabv3/deeplabv3_r18-d8_4xb2-80k_cityscapes-512x1024.py'
SOFT_TEACHER = (
    'mmdet::soft_teacher/'
    'soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py'
)
POINT_REND = 'mmseg::point_rend/pointrend_r50_4xb2-80k_cityscapes-512x1024.py'
SWIN = (
    'mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_'
    'ade20k-512x512.py'
)

R18 = {'backbone.depth': 18, 'neck.in_channels': [64, 128, 256, 512]}


def retinanet(**options):
    return stock(RETINANET, **{**R18, 'bbox_head.num_classes': 3, **options})


def fcos(**options):
    # 32 groups of one channel would not take a map of one cell.
    cfg = stock(FCOS, **{**R18, 'bbox_head.num_classes': 3, **options})
    cfg.bbox_head.norm_cfg = dict(type='GN', num_groups=4)
    return cfg


def gfl(**options):
    cfg = stock(GFL, **{**R18, 'bbox_head.num_classes': 3, **options})
    cfg.bbox_head.norm_cfg = dict(type='GN', num_groups=4)
    return cfg


def yolox():
    cfg = stock(YOLOX, **{'bbox_head.num_classes': 3})
    cfg.backbone.widen_factor = 0.375 / 8
    cfg.data_preprocessor.batch_augments = None  # they need a Runner
    return cfg


def deformable_detr(**options):
    """Deformable DETR with one encoder and two decoder layers."""
    cfg = stock(
        DEFORMABLE_DETR,
        **{
            'num_queries': 10,
            'backbone.depth': 18,
            'neck.in_channels': [128, 256, 512],
            'neck.norm_cfg.num_groups': 8,
            'encoder.num_layers': 1,
            'decoder.num_layers': 2,
            'bbox_head.num_classes': 3,
            'bbox_head.embed_dims': 256,
            **options,
        },
    )
    return thin_transformer(cfg, 32)


def thin_transformer(node, width):
    """Set the width of every transformer layer."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == 'embed_dims':
                node[key] = width
            elif key == 'feedforward_channels':
                node[key] = 2 * width
            elif key == 'num_feats':
                node[key] = width // 2
            else:
                thin_transformer(value, width)
    return node


def deeplab(**options):
    return stock(
        DEEPLAB,
        **{
            'data_preprocessor.size': (64, 64),
            'decode_head.num_classes': 4,
            'auxiliary_head.num_classes': 4,
            **options,
        },
    )


def point_rend():
    """A segmentor whose two decode heads form a cascade."""
    cfg = stock(
        POINT_REND,
        **{
            'data_preprocessor.size': (64, 64),
            'backbone.depth': 18,
            'neck.in_channels': [64, 128, 256, 512],
        },
    )
    for head in cfg.decode_head:
        head.num_classes = 4
    return cfg


def soft_teacher():
    """A semi-supervised detector: two Faster R-CNNs."""
    return stock(
        SOFT_TEACHER,
        **{f'detector.{key}': value for key, value in R18.items()},
    )


def swin_upernet():
    """UPerNet on a small Swin: dropout and drop path."""
    return stock(
        SWIN,
        **{
            'data_preprocessor.size': (64, 64),
            'backbone.embed_dims': 12,
            'backbone.depths': [1, 1, 2, 1],
            'backbone.num_heads': [1, 2, 3, 4],
            'backbone.drop_path_rate': 0.5,
            'decode_head.num_classes': 4,
            'auxiliary_head.num_classes': 4,
        },
    )
