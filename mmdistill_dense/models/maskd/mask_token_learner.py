"""Stage 1 of MasKD: learn receptive tokens on a frozen teacher."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmdistill_dense.functional import mask_diversity
from mmdistill_dense.functional.checks import check_weight
from mmdistill_dense.registry import MODELS

from ..distillers.guards import check_finite, check_inputs
from ..distillers.report import log_teacher
from ..distillers.settings import check_none, make_teacher, token_record_cfg
from ..distillers.term import graph_zero
from .maskable_teacher import MaskableTeacher, check_loss_depends_on_masks
from .receptive_tokens import ReceptiveTokens
from .token_files import (
    check_channels,
    check_same_shapes,
    read_tokens,
    write_tokens,
)


@MODELS.register_module()
class MaskTokenLearner(BaseModel):
    """Learn tokens for the pixels that a teacher's task loss depends on.

    A map of the frozen teacher is masked before it reaches the teacher's own
    heads. The tokens, and the net that weighs them, are trained by the host's
    own task loss plus ``loss_diversity``, the soft Dice of the masks,
    summed over levels. Only they are parameters, so optimizer, checkpoints
    and gradient buckets contain nothing else. The teacher stays in eval mode.

    Source: Huang et al., "Masked Distillation with Receptive Tokens"
    (ICLR 2023, arXiv 2205.14589); forms and defaults of the official code.

    Args:
        teacher: ``dict(cfg=..., checkpoint=..., cfg_options=..., allow=...)``.
        at: Where the teacher is masked: ``'neck'``, ``'backbone'``,
            ``'logits'``, a module path, or ``dict(path=..., take='input')``.
        num_tokens: Tokens of each level, at least 2.
        weighting: Whether a net weighs the tokens of each image (the form
            for detection); otherwise masks are summed (for segmentation).
        diversity_weight: Factor of ``loss_diversity``, not negative.
        init_std: Standard deviation of the tokens at the start.
        data_preprocessor: Injected by MMEngine's Runner; used only if the
            teacher has none of its own.
        input_size: Height and width of the blank image of the dry run, in
            pixels.
        pretrained: Must be ``None``; mmseg's ``init_model`` writes it and
            ``train_cfg`` into the config of any model.
        train_cfg: Must be ``None``; the teacher's is in its own config.

    Raises:
        ValueError: If a name, module or shape does not fit.
    """

    def __init__(
        self,
        teacher: Mapping[str, Any],
        at: str | dict = 'neck',
        num_tokens: int = 6,
        weighting: bool = True,
        diversity_weight: float = 1.0,
        init_std: float = 0.01,
        data_preprocessor: dict | nn.Module | None = None,
        input_size: tuple[int, int] = (256, 256),
        pretrained: None = None,
        train_cfg: None = None,
    ) -> None:
        config_path = 'model.teacher.cfg_options.model'
        check_none(config_path, pretrained=pretrained, train_cfg=train_cfg)
        masked_teacher = make_teacher('teacher', teacher, MaskableTeacher)
        record_cfg = token_record_cfg(at)
        random_model = masked_teacher.configure(record_cfg, tuple(input_size))
        own_preprocessor = getattr(random_model, 'data_preprocessor', None)
        super().__init__(own_preprocessor or data_preprocessor)
        self.at = at
        self.teacher = masked_teacher
        self.diversity_weight = check_weight(
            'MaskTokenLearner, diversity_weight', diversity_weight
        )
        self.mask_modules = nn.ModuleList(
            ReceptiveTokens(spec.channels, num_tokens, weighting, init_std)
            for spec in masked_teacher.specs
        )
        # ``info`` of the token file that was loaded, if any
        self._file_info: dict[str, Any] | None = None
        self._masking_enabled = True
        self._first_loss_checked = False
        print_log(self.describe(), logger='current')

    def describe(self) -> str:
        """Number of tokens and shape of the map, for each level."""
        lines = [f'Receptive tokens on {self.at!r}:']
        pairs = zip(self.mask_modules, self.teacher.specs, strict=True)
        lines += [f'  {module.num_tokens} on {s}' for module, s in pairs]
        return '\n'.join(lines)

    def init_weights(self) -> None:
        """Load the teacher; the constructor has initialised the tokens."""
        self.load_teacher()

    def load_teacher(self) -> None:
        """Load the teacher, unless it is loaded.

        Raises:
            ValueError: If it has no checkpoint, or one that does not fit.
        """
        if not self.teacher.loaded:
            self.teacher.load(self.mask_modules[0].mask_token)
            log_teacher(self.teacher)

    def forward(
        self,
        inputs: Tensor,
        data_samples: list | None = None,
        mode: str = 'tensor',
    ) -> Any:
        """The teacher's ``forward``, masked.

        Args:
            inputs: Images (N, C, H, W), preprocessed.
            data_samples: Their data samples.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        self.load_teacher()
        with self._mask_maps({}):
            return self.teacher.model(inputs, data_samples, mode=mode)

    def loss(self, inputs: Tensor, data_samples: list) -> dict:
        """The teacher's own losses on masked maps, and ``loss_diversity``.

        Args:
            inputs: Images of shape (N, C, H, W), preprocessed.
            data_samples: Their data samples, with ground truth.
        """
        check_inputs(inputs)
        self.load_teacher()
        masks: dict[int, Tensor] = {}
        with self.set_masking(True), self._mask_maps(masks):
            losses = self.teacher.loss(inputs, data_samples)
        if len(masks) != len(self.mask_modules):
            raise RuntimeError(
                f'tokens at {self.at!r}: the dry run had '
                f'{len(self.mask_modules)} maps, this step {len(masks)}. The '
                "module must be called equally often in the teacher's loss."
            )
        diversity = sum(mask_diversity(m) for m in masks.values())
        # graph_zero gives every parameter a gradient. Otherwise DDP fails on
        # the weighting net of a level that no head uses.
        diversity = self.diversity_weight * diversity + graph_zero(
            self, inputs
        )
        if not self._first_loss_checked:
            check_finite(f'tokens at {self.at!r}', mask=masks)
            check_loss_depends_on_masks(self.at, losses)
            # Without gradients the loss was not checked: check again.
            self._first_loss_checked = torch.is_grad_enabled()
        return {**losses, 'loss_diversity': diversity}

    @contextmanager
    def set_masking(self, enabled: bool) -> Iterator[None]:
        """Switch masking on or off inside ``with``; off: the stock teacher."""
        before, self._masking_enabled = self._masking_enabled, enabled
        try:
            yield
        finally:
            self._masking_enabled = before

    @contextmanager
    def _mask_maps(self, collected: dict[int, Tensor]) -> Iterator[None]:
        """Mask the teacher's maps and collect the masks inside ``with``."""

        def change(level: int, features: Tensor) -> Tensor:
            masked, collected[level] = self.mask_modules[level](features)
            return masked

        if not self._masking_enabled:
            yield
            return
        with self.teacher.changing(change):
            yield

    @torch.no_grad()
    def token_masks(self, inputs: Tensor, data_samples: list) -> list[Tensor]:
        """Masks of the tokens for a batch of images.

        Args:
            inputs: Images of shape (N, C, H, W), preprocessed.
            data_samples: Their data samples; only metainfo is read.

        Returns:
            Probabilities of shape (N, T, H, W), one tensor per level.
        """
        self.load_teacher()
        masks: dict[int, Tensor] = {}
        with self.set_masking(True), self._mask_maps(masks):
            self.teacher.run_route(inputs, data_samples)
        return [masks[level] for level in sorted(masks)]

    @property
    def info(self) -> dict[str, Any]:
        """``info`` of the token file: that of a loaded file, or a new one."""
        if self._file_info is not None:
            return self._file_info
        info: dict[str, Any] = dict(at=token_record_cfg(self.at))
        if self.teacher.loaded:
            info['teacher'] = self.teacher.fingerprint
        return info

    def write_tokens(self, path: str) -> None:
        """Write the token file that stage 2 reads."""
        write_tokens(path, self.mask_modules, self.info)

    def load_tokens(self, path: str) -> None:
        """Load the tokens of a file.

        Raises:
            FileNotFoundError: If it does not exist.
            ValueError: If they do not fit this teacher's maps, or their
                number differs.
        """
        file = read_tokens(path)
        check_channels(file, [spec.channels for spec in self.teacher.specs])
        check_same_shapes(self.mask_modules, file.modules.state_dict(), path)
        self.mask_modules.load_state_dict(file.modules.state_dict())
        self._file_info = file.info

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Refuse another model's checkpoint, which MMEngine would only log."""
        if not prefix:
            start = 'mask_modules.'
            tokens = {
                key.removeprefix(start): value
                for key, value in state_dict.items()
                if key.startswith(start)
            }
            check_same_shapes(self.mask_modules, tokens, 'the checkpoint')
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
