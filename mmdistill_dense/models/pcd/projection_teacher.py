"""A self-supervised teacher: a backbone with its projection head."""

import zlib
from collections import OrderedDict
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from mmdistill_dense.registry import MODELS

from ..encoders.layout_detection import check_head, check_layout
from ..encoders.layouts import layout_of, rename_keys
from ..hosts import FeatureSpec
from ..teachers.loading import load_strictly, read_weights
from ..utils import FrozenHolder, as_list, forked_rng
from .heads import HeadCfg, build_head, student_head_cfg
from .maps import last_map, map_spec
from .spatial_adaptor import SpatialAdaptor


class BackboneWithHead(nn.Module):
    """A backbone, and a head on its last map.

    Args:
        backbone: Returns a map (N, C, H, W), or several, of which the last
            is used.
        head: Takes that map.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        return self.head(last_map(self.backbone(images), self.backbone))


class ProjectionTeacher(FrozenHolder):
    """A frozen backbone and its projection head, applied to maps.

    It is frozen, in eval mode, without gradients, strictly loaded, shared by
    deep copies, and absent from parameters and checkpoints. ``load`` reads
    the weights where training starts; until then no teacher is in memory.

    The backbone of a MoCo v3 vision transformer, ``mocov3_vit``, is
    ``dict(type='mmseg.VisionTransformer', patch_bias=True, final_norm=True,
    norm_cfg=dict(type='LN', eps=1e-6))``.

    Args:
        backbone: Config of any registered backbone.
        layout: Key layout of the file, a name in ``layouts.LAYOUTS``.
        checkpoint: File or address of the weights.
        head: The projection head: ``None`` for the layout's own,
            ``dict(widths=..., bias=...)`` for its form in other sizes,
            ``[dict(type='Linear', ...), ...]`` for any layers of
            ``torch.nn``, ``[]`` for none.
        keep_last_bn: Whether to keep the batch norm that ends the head of
            MoCo v3.
        relu: ``'spatial'`` or, for comparison, ``'plain'``; see
            :class:`SpatialAdaptor`.
        allow: Glob patterns of keys, ``backbone.*`` and ``head.*``, that may
            differ from the checkpoint's.
        input_size: Height and width of the dry run's image, in pixels.

    Raises:
        ValueError: If a setting is unknown, the backbone returns no map, or
            the head does not fit it or cannot be applied to maps.
    """

    name = 'teacher'

    def __init__(
        self,
        backbone: dict[str, Any],
        layout: str = 'openmmlab',
        checkpoint: str | None = None,
        head: HeadCfg = None,
        keep_last_bn: bool = False,
        relu: str = 'spatial',
        allow: Sequence[str] = (),
        input_size: tuple[int, int] = (224, 224),
    ) -> None:
        super().__init__()
        if not isinstance(backbone, dict) or 'type' not in backbone:
            raise ValueError(
                'teacher.backbone must be the config of a backbone, such as '
                f"dict(type='mmdet.ResNet', depth=50), got {backbone!r}."
            )
        self.cfg = dict(backbone)
        self.layout_name = layout
        self.checkpoint = checkpoint
        self.allow = as_list(allow)
        #: Fingerprint of the loaded weights and the head's layers; '' before
        #: ``load``.
        self.fingerprint = ''
        self._layout = layout_of(layout)
        self._head_cfg = head
        self._keep_last_bn = keep_last_bn
        self._relu = relu
        self._input_size = tuple(input_size)
        self._spec, self._num_parameters = self._dry_run()
        adapted, self.channels, self.student_head = self._adapt_head()
        self._head_layers = adapted.describe()

    def _dry_run(self) -> tuple[FeatureSpec, int]:
        """Spec of the backbone's map, and its number of parameters."""
        with forked_rng():
            backbone = self._build()
        size = sum(p.numel() for p in backbone.parameters())
        return map_spec(backbone, self._input_size), size

    def _build(self) -> nn.Module:
        # A copy: some modules write into their config.
        return MODELS.build(deepcopy(self.cfg))

    def _adapt_head(self) -> tuple[SpatialAdaptor, int, dict[str, Any]]:
        """The adapted head, its output channels, the student's head."""
        with torch.device('meta'):
            head = self._build_head()
            adapted = SpatialAdaptor(head, self._relu)
            try:
                channels = adapted(torch.empty(self._spec.shape)).shape[1]
            except RuntimeError as error:
                raise ValueError(
                    'teacher.head does not fit a backbone that gives '
                    f'{self._spec}: {error}. Its layers are {list(head)}.'
                ) from error
        student_head = student_head_cfg(head, self._layout, channels)
        return adapted, channels, student_head

    def _build_head(self) -> nn.Sequential:
        return build_head(
            self._head_cfg,
            self._layout,
            self._spec.channels,
            self._keep_last_bn,
        )

    def describe(self) -> str:
        """Several lines: backbone, grid, head, dimension of its vectors."""
        height, width = self._input_size
        rows, columns = self._spec.shape[2:]
        return '\n'.join(
            [
                f'Teacher: {self.cfg["type"]}, '
                f'{self._num_parameters / 1e6:.1f} M parameters, gives '
                f'{self._spec}, {rows}x{columns} cells of an image of '
                f'{height}x{width} pixels',
                f'  head on each cell (layout {self.layout_name!r}):',
                *(f'    {layer}' for layer in self._head_layers or ['none']),
                f'  gives {self.channels} channels, the dimension of a '
                'vector in the queue',
            ]
        )

    def load(self, like: Tensor) -> None:
        """Build backbone and head, load them strictly, adapt and freeze them.

        Args:
            like: A tensor with the device and dtype to use.

        Raises:
            ValueError: If no checkpoint is given, or it does not fit.
            FileNotFoundError: If it does not exist.
        """
        if not self.checkpoint:
            raise ValueError(
                'the teacher has no checkpoint, so its weights would be '
                'random. Set teacher.checkpoint to a file or an address.'
            )
        with forked_rng():
            model = BackboneWithHead(self._build(), self._build_head())
        weights_fingerprint = load_strictly(
            model,
            self._read(len(model.head)),
            self.allow,
            self.checkpoint,
            self.name,
            self._remedy(),
        )
        model.head = SpatialAdaptor(model.head, self._relu)
        self.fingerprint = self._fingerprint(weights_fingerprint)
        self.set_frozen(model, like.device, like.dtype)

    def _fingerprint(self, weights_fingerprint: str) -> str:
        """Fingerprint of the weights and of the layers of the head.

        With the same weights, another head gives other vectors.
        """
        head = '\n'.join(self._head_layers).encode()
        return f'{zlib.crc32(head, int(weights_fingerprint, 16)):08x}'

    def _read(self, layers: int) -> OrderedDict[str, Tensor]:
        """Weights renamed to the model's keys.

        The module versions in ``_metadata`` are included.
        """
        state = read_weights(self.checkpoint, self.name)
        subject = f'the checkpoint of the teacher, {self.checkpoint},'
        check_layout(state, self.layout_name, subject)
        if self._head_cfg is None:
            check_head(state, self._layout, subject)
        weights = rename_keys(state, self._layout, layers)
        weights._metadata = rename_keys(state._metadata, self._layout, layers)
        return weights

    def _remedy(self) -> str:
        layout = self._layout
        return (
            'Usual cause: another backbone, or a head of other sizes. '
            f'backbone.* is read from {layout.backbone_prefix}* in the file, '
            f'head.<index>.* from {layout.head_prefix}*. '
            f'{layout.hint}'.rstrip()
            + ' Change teacher.backbone, teacher.head or teacher.layout'
        )

    @torch.no_grad()
    def maps(self, images: Tensor) -> Tensor:
        """The teacher's embedding of every cell.

        Args:
            images: Images (N, 3, H, W), preprocessed.

        Returns:
            Maps (N, C, H / stride, W / stride), not normalised, detached;
            their mean is the teacher's embedding of the image.
        """
        return self._frozen[0](images)
