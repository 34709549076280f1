"""What the demo trains: two studies, each by one method."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import DemoError

#: Models that are measured and compared.
ROLES = ('teacher', 'student', 'distilled')
#: How the demo can distil.
METHODS = ('cwd', 'maskd', 'pcd')
#: What a method trains between the teacher and the student.
STAGES = dict(maskd=('tokens',), pcd=('contrast', 'pretraining'))
#: Pairs of a key below ``model`` and its value.
Options = tuple[tuple[str, object], ...]


@dataclass(frozen=True, eq=False)  # a key of dicts, with lists in it
class Study:
    """A teacher, and its student without and with distillation.

    Attributes:
        name: For files and folders.
        title: For tables.
        configs: Below ``configs/``: of the teacher, the student, the tokens
            (stage 1 of MasKD), the teacher's head and the backbone that
            learns from it (PCD), and of the distilled student by each
            method that the study has.
        metric: Key of the score in the host's evaluation.
        label: Name of the score, which is in points (0-100) everywhere.
        least: Score below which a teacher has nothing to teach.
        margin: Points that it must be above the undistilled student.
        length: Factor on the iterations of the configs.
        start: Name of the study whose backbones these models start from,
            or ''. A few hundred iterations are too few for a detector from
            scratch. Student and distilled start from the same weights, the
            undistilled student's.
        teacher: Settings of the teacher that differ from its config.
        student: Settings of the student, likewise.
        method: One of ``METHODS``.
    """

    name: str
    title: str
    configs: dict[str, str] = field(repr=False)
    metric: str
    label: str
    least: float
    margin: float
    length: float = 1.0
    start: str = ''
    teacher: Options = ()
    student: Options = ()
    method: str = 'cwd'

    def roles(self) -> Iterator[tuple[str, str]]:
        """Pairs of a role and its config, in the order of their training."""
        stages = STAGES.get(self.method, ())
        for role in ('teacher', *stages, 'student', 'distilled'):
            yield role, self.configs[self.of(role)]

    def of(self, role: str) -> str:
        """What is the method's own is named by it, the rest is shared."""
        return self.method if role == 'distilled' else role

    def called(self, role: str) -> str:
        """What people read; PCD distils before the student's task."""
        pre_trained = role == 'distilled' and self.method == 'pcd'
        return 'pre-trained' if pre_trained else role

    def metric_of(self, role: str) -> str:
        """Stages validate something else, or only log it."""
        return dict(
            tokens=f'masked/{self.metric}', contrast='top1', pretraining='top1'
        ).get(role, self.metric)

    @property
    def stem(self) -> str:
        """Begins the names of what shows this method on this study."""
        return f'{self.name}_{self.method}'


SHAPES = (
    Study(
        'pspnet',
        'PSPNet',
        dict(
            teacher='demo/pspnet_teacher_shapes.py',
            student='demo/pspnet_student_shapes.py',
            cwd='demo/cwd_pspnet_shapes.py',
            tokens='demo/tokens_pspnet_shapes.py',
            maskd='demo/maskd_pspnet_shapes.py',
            contrast='demo/contrast_pspnet_shapes.py',
            pretraining='demo/pcd_pspnet_shapes.py',
            pcd='demo/pspnet_student-pcd-pre_shapes.py',
        ),
        metric='mIoU',
        label='mIoU',
        least=28,
        margin=2,
    ),
    Study(
        'mask-rcnn',
        'Mask R-CNN',
        dict(
            teacher='demo/mask-rcnn_teacher_shapes.py',
            student='demo/mask-rcnn_student_shapes.py',
            cwd='demo/cwd_mask-rcnn_shapes.py',
            tokens='demo/tokens_mask-rcnn_shapes.py',
            maskd='demo/maskd_mask-rcnn_shapes.py',
        ),
        metric='coco/segm_mAP',
        label='mask AP',
        least=8,
        margin=1,
        start='pspnet',
    ),
)


def _pspnet(width: int) -> Options:
    """PSPNet R18 at another width, 64 being the usual one."""
    return (
        ('backbone.base_channels', width),
        ('backbone.stem_channels', width),
        ('decode_head.in_channels', 8 * width),
        ('decode_head.channels', 2 * width),
        ('auxiliary_head.in_channels', 4 * width),
        ('auxiliary_head.channels', width),
    )


def _mask_rcnn(width: int) -> Options:
    """Mask R-CNN R18 on the backbone of such a PSPNet."""
    return (
        ('backbone.deep_stem', True),
        ('backbone.base_channels', width),
        ('backbone.stem_channels', width),
        ('neck.in_channels', [width * 2**stage for stage in range(4)]),
    )


#: The models of configs/camvid in the widths of the embedded data's: wider
#: ones learn too little in minutes to be above their students.
CAMVID = (
    Study(
        'pspnet',
        'PSPNet',
        dict(
            teacher='camvid/pspnet_r18-d8_camvid-128x160.py',
            student='camvid/pspnet_r18-w16-d8_camvid-128x160.py',
            cwd='camvid/cwd_logits_pspnet_r18-d8_pspnet_r18-w16-d8_'
            'camvid-128x160.py',
            tokens='camvid/tokens_logits_pspnet_r18-d8_camvid-128x160.py',
            maskd='camvid/maskd_logits_pspnet_r18-d8_pspnet_r18-w16-d8_'
            'camvid-128x160.py',
            contrast='camvid/contrast_r18-w32-d8_camvid-96x128.py',
            pretraining='camvid/pcd_r18-w32-d8_r18-w16-d8_camvid-96x128.py',
            pcd='camvid/pspnet_r18-w16-d8-pcd-pre_camvid-128x160.py',
        ),
        metric='mIoU',
        label='mIoU',
        least=25,
        margin=2,
        length=0.4,
        teacher=_pspnet(32),
        student=_pspnet(8),
    ),
    Study(
        'mask-rcnn',
        'Mask R-CNN',
        dict(
            teacher='camvid/mask-rcnn_r18_fpn_camvid-240x320.py',
            student='camvid/mask-rcnn_r18-w16_fpn_camvid-240x320.py',
            cwd='camvid/cwd_neck_mask-rcnn_r18_mask-rcnn_r18-w16_fpn_'
            'camvid-240x320.py',
            tokens='camvid/tokens_neck_mask-rcnn_r18_fpn_camvid-240x320.py',
            maskd='camvid/maskd_neck_mask-rcnn_r18_mask-rcnn_r18-w16_fpn_'
            'camvid-240x320.py',
        ),
        metric='coco/segm_mAP',
        label='mask AP',
        least=2,
        margin=0.5,
        length=0.8,
        start='pspnet',
        teacher=_mask_rcnn(32),
        student=_mask_rcnn(8),
    ),
)

#: What ``--data`` must hold, as configs/camvid/README.md describes it.
LAYOUT = (
    *(
        f'{folder}/{split}/*{suffix}'
        for folder, suffix in (('images', '.jpg'), ('labels', '.png'))
        for split in ('train', 'val')
    ),
    'annotations/instances_train.json',
    'annotations/instances_val.json',
)


def check_camvid(folder: Path) -> None:
    """Look for everything that the CamVid configs read.

    Raises:
        DemoError: If something is missing; all of it is named.
    """
    if not folder.is_dir():
        raise DemoError(
            f'--data {folder} is no folder. Expected CamVid in the layout of '
            'configs/camvid/README.md.'
        )
    missing = [name for name in LAYOUT if not any(folder.glob(name))]
    if missing:
        raise DemoError(
            f'--data {folder} lacks {", ".join(missing)}. Expected CamVid in '
            'the layout of configs/camvid/README.md, which python -m '
            'mmdistill_dense.datasets.camvid makes of the copy that comes '
            'with the SegNet tutorial; without --data the demo draws its own '
            'pictures.'
        )
