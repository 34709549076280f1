"""Key layouts: backbone and head in files of self-supervised encoders."""

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from ..utils import matches_any

Value = TypeVar('Value')
Rules = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Layout:
    """Key layout of a file, without a data parallel wrapper's ``module.``.

    Args:
        backbone_prefix: Prefix of the backbone's keys.
        head_prefix: Prefix of the projection head's keys.
        widths: Output channels of the head's linear layers, with batch norm
            and ReLU between them. Empty: there is no head.
        bias: Whether each linear layer has a bias.
        last_bn: Whether a batch norm without affine parameters follows the
            last one.
        student_depth: Linear layers of each of the student's two heads;
            ``None``: as many as the teacher's.
        backbone_rules: Patterns in the backbone's keys with replacements.
        head_rules: Likewise for the head, whose keys become ``<index>.*``.
        ignored: Patterns of keys below ``backbone_prefix`` that belong to
            neither.
        renames: Further rules for the backbone's keys, for implementations
            other than the published one.
        optional: Patterns of renamed keys that an implementation may lack.
        unused: Patterns of weights that are never needed, in the file and in
            the network.
        marker: Prefix of keys by which the layout is detected.
        hint: A setting that configs often lack, as a sentence.
    """

    backbone_prefix: str
    head_prefix: str = 'head.'
    widths: tuple[int, ...] = ()
    bias: tuple[bool, ...] = ()
    last_bn: bool = False
    student_depth: int | None = None
    backbone_rules: Rules = ()
    head_rules: Rules = ()
    ignored: tuple[str, ...] = ()
    renames: tuple[Rules, ...] = ()
    optional: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    marker: str = ''
    hint: str = ''

    def target_key(self, key: str) -> str | None:
        """A file's key as ``backbone.*`` or ``head.*``, else ``None``."""
        if key.startswith(self.head_prefix):
            rest = key.removeprefix(self.head_prefix)
            return f'head.{apply_rules(rest, self.head_rules)}'
        rest = key.removeprefix(self.backbone_prefix)
        outside = not key.startswith(self.backbone_prefix)
        if outside or matches_any(rest, self.ignored):
            return None
        return f'backbone.{apply_rules(rest, self.backbone_rules)}'


def apply_rules(key: str, rules: Rules) -> str:
    """A key after all replacements."""
    for pattern, name in rules:
        key = re.sub(pattern, name, key)
    return key


#: From timm's vision transformer to mmseg's.
TIMM_TO_MMSEG = (
    (r'^patch_embed\.proj\.', 'patch_embed.projection.'),
    (r'^blocks\.', 'layers.'),
    (r'^(layers\.\d+)\.norm([12])\.', r'\1.ln\2.'),
    (r'\.attn\.qkv\.', '.attn.attn.in_proj_'),
    (r'\.attn\.proj\.', '.attn.attn.out_proj.'),
    (r'\.mlp\.fc1\.', '.ffn.layers.0.0.'),
    (r'\.mlp\.fc2\.', '.ffn.layers.1.'),
    (r'^norm\.', 'ln1.'),
)

#: From the names in mmpretrain's NonLinearNeck to indices of a Sequential.
_NECK = tuple(
    (rf'^{kind}{layer}\.', f'{3 * layer + shift}.')
    for layer in range(4)
    for shift, kind in enumerate(('fc', 'bn'))
)

_MOCO = dict(backbone_prefix='momentum_encoder.', last_bn=True)

#: By the name in ``teacher.layout``; the first marker found decides.
LAYOUTS = dict(
    # github.com/facebookresearch/moco-v3: state_dict, module.*
    mocov3_resnet=Layout(
        **_MOCO,
        head_prefix='momentum_encoder.fc.',
        widths=(4096, 256),
        bias=(False, False),
        marker='momentum_encoder.fc.',
    ),
    mocov3_vit=Layout(
        **_MOCO,
        head_prefix='momentum_encoder.head.',
        widths=(4096, 4096, 256),
        bias=(False, False, False),
        student_depth=2,
        backbone_rules=TIMM_TO_MMSEG,
        marker='momentum_encoder.head.',
        hint='mmseg.VisionTransformer needs patch_bias=True and '
        'final_norm=True for it.',
    ),
    # A PyTorch port of BYOL, the one of PCD's authors: model, module.*
    byol=Layout(
        backbone_prefix='target_encoder.',
        head_prefix='target_encoder.fc.',
        widths=(4096, 256),
        bias=(True, False),
        marker='target_encoder.',
    ),
    # github.com/facebookresearch/barlowtwins: model, module.*
    barlow_twins=Layout(
        backbone_prefix='backbone.',
        head_prefix='projector.',
        widths=(8192, 8192, 8192),
        bias=(False, False, False),
        marker='projector.',
    ),
    # github.com/facebookresearch/swav: the root of the file, module.*
    swav=Layout(
        backbone_prefix='',
        head_prefix='projection_head.',
        widths=(2048, 128),
        bias=(True, True),
        ignored=('prototypes.*',),
        marker='projection_head.',
    ),
    # MoCo v3 of mmpretrain: state_dict; module 0 is the backbone, 1 the neck
    mmpretrain_mocov3=Layout(
        backbone_prefix='momentum_encoder.module.0.',
        head_prefix='momentum_encoder.module.1.',
        widths=(4096, 256),
        bias=(False, False),
        last_bn=True,
        head_rules=_NECK,
        marker='momentum_encoder.module.',
    ),
    # Any detector, segmentor or classifier, and runs of this package
    openmmlab=Layout(backbone_prefix='backbone.', marker='backbone.'),
    # A backbone alone, by its own keys, such as one of torchvision. Exported
    # students have the prefix backbone., as in openmmlab.
    bare=Layout(backbone_prefix='', ignored=('fc.*',), marker='conv1.'),
)


def layout_of(name: str) -> Layout:
    """The layout of that name.

    Raises:
        ValueError: If the name is unknown.
    """
    if name not in LAYOUTS:
        raise ValueError(
            f'teacher.layout {name!r} is not known. Choose one of '
            f'{", ".join(LAYOUTS)}.'
        )
    return LAYOUTS[name]


def rename_keys(
    entries: dict[str, Value], layout: Layout, layers: int
) -> OrderedDict[str, Value]:
    """Rename a file's entries to ``backbone.*`` and ``head.<index>.*``.

    Other entries are dropped, and so is the file's batch norm at the end of
    the head, unless the teacher's head has one too.

    Args:
        entries: Values by the file's keys.
        layout: Layout of the file.
        layers: Number of layers of the teacher's head; with 0 the file's
            head is dropped.
    """
    last = f'head.{layers}.' if layout.last_bn else None
    renamed = OrderedDict()
    for key, value in entries.items():
        target = layout.target_key(key)
        if target is None:
            continue
        if target.startswith('head.') and not layers:
            continue
        if last is None or not target.startswith(last):
            renamed[target] = value
    return renamed
