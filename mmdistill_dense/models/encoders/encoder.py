"""Any network that turns images into maps, as a backbone."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor

from mmdistill_dense.recorders import RecorderSet
from mmdistill_dense.registry import MODELS

from ..hosts import InputResizing
from ..utils import as_list
from .network import build_network, drop_modules
from .outputs import Output, as_maps, select
from .published import load_published


@MODELS.register_module()
class Encoder(BaseModule):
    """A network of any package, as the backbone of a student or a teacher.

    The keys of its state dict are ``model.*``.

    Args:
        model: The network: ``dict(type='mmdet.ResNet', ...)`` or
            ``dict(call='transformers.Dinov2Model', ...)``, see
            :func:`~.network.build_network`.
        method: Its method that is called with the images.
        arguments: Further keyword arguments of this call.
        output: Key, attribute or index of the maps in what it returns, or a
            list of these, one inside the other.
        nodes: Module path, glob or braces below ``model`` whose outputs are
            the maps, in place of ``output``, such as ``'_blocks.{4,10}'``.
        drop: Modules that are replaced by the identity, such as a classifier;
            their weights in a file are not read.
        in_channels: Channels of the images.
        multiple: Images are resized to multiples of it, in pixels; the size
            of a patch. Tokens are divided into as many cells.
        scale: Factor by which images are resized.
        checkpoint: File or address of its weights, loaded strictly by
            ``init_weights``; ``None``: the network is used as it is built.
        layout: Key layout of the file, see ``published.PUBLISHED``; ``None``:
            its keys are those of the network.
        allow: Glob patterns of keys that may differ from the file's.
        init_cfg: As in MMEngine.

    Raises:
        ImportError: If the package of ``model`` is not installed.
        ValueError: If a setting does not fit.
    """

    def __init__(
        self,
        model: Mapping,
        method: str = 'forward',
        arguments: Mapping | None = None,
        output: Output = None,
        nodes: str | None = None,
        drop: str | Sequence[str] = (),
        in_channels: int = 3,
        multiple: int = 1,
        scale: float = 1.0,
        checkpoint: str | None = None,
        layout: str | None = None,
        allow: str | Sequence[str] = (),
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        _check_resizing(multiple, scale)
        self.model = build_network(model)
        self.drop = as_list(drop)
        drop_modules(self.model, self.drop)
        if not callable(getattr(self.model, method, None)):
            raise ValueError(
                f'method={method!r}: {type(self.model).__name__} has no such '
                'method.'
            )
        self.method, self.arguments = method, dict(arguments or {})
        self.output, self.in_channels = output, in_channels
        self.resizing = InputResizing(multiple, scale)
        self.checkpoint, self.layout = checkpoint, layout
        self.allow = as_list(allow)
        self._recorders: RecorderSet | None = None
        if nodes is not None:
            self._recorders = RecorderSet(self.model)
            self._recorders.add(self.model, 'nodes', nodes)

    def load(self, what: str) -> str:
        """Load ``checkpoint`` strictly, and return a fingerprint.

        Args:
            what: The network in messages, such as ``"teacher 'big'"``.
        """
        return load_published(
            self.model,
            str(self.checkpoint),
            self.layout,
            what,
            self.allow,
            self.drop,
        )

    def init_weights(self) -> None:
        """Load the checkpoint; without one, call that of a host's backbone.

        A network of another package has initialised itself.
        """
        if self.checkpoint is not None:
            self.load(f'the backbone {type(self.model).__name__}')
            print_log(
                f'The backbone is loaded from {self.checkpoint}.',
                logger='current',
            )
        elif isinstance(self.model, BaseModule):
            self.model.init_weights()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Maps (N, C, h, w) of images (N, in_channels, H, W), normalised."""
        images = self.resizing(images)
        if self._recorders is None:
            return as_maps(self._run(images), self._cells(images))
        with self._recorders.recording(['nodes']):
            self._run(images)
            levels = tuple(self._recorders['nodes'].read())
        return as_maps(levels, self._cells(images))

    def _run(self, images: Tensor) -> Any:
        # Hooks run where a module is called, not in its forward.
        called = self.method == 'forward'
        run = self.model if called else getattr(self.model, self.method)
        return select(run(images, **self.arguments), self.output)

    def _cells(self, images: Tensor) -> tuple[int, int] | None:
        """Height and width of the grid of patches."""
        multiple = self.resizing.multiple
        if multiple == 1:
            return None
        return images.shape[-2] // multiple, images.shape[-1] // multiple


def _check_resizing(multiple: Any, scale: Any) -> None:
    if not isinstance(multiple, int) or multiple < 1:
        raise ValueError(
            'multiple must be a whole number of pixels above 0, the size of '
            f'a patch, got {multiple!r}.'
        )
    if not isinstance(scale, (int, float)) or not 0 < scale < float('inf'):
        raise ValueError(
            f'scale must be a factor above 0, such as 2, got {scale!r}.'
        )
