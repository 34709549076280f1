"""A frozen teacher whose maps can be replaced inside its forward pass."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from mmdistill_dense.recorders import RecorderSet, resolve_paths
from mmdistill_dense.recorders.replacer import Change, Replacer, replacing

from ..hosts import DryRunResult, FeatureSpec, dry_run, expand_alias, run_route
from ..teachers.stock import StockTeacher
from ..utils import forked_rng


class MaskableTeacher(StockTeacher):
    """A frozen stock model whose maps at one module can be replaced.

    Its whole task loss runs, and gradients pass through its frozen parts to
    whatever replaced the maps. It is loaded and frozen as the teacher of a
    ``DenseDistiller`` is.

    Args:
        *args: Those of :class:`StockTeacher`.
        **kwargs: Those of :class:`StockTeacher`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Levels that can be replaced.
        self.specs: list[FeatureSpec] = []
        #: Name of the shortest route that computes all of them.
        self.route = ''
        self._record_cfg: dict[str, Any] = {}
        self._counts: dict[str, int] = {}

    def configure(
        self, record_cfg: Mapping[str, Any], input_size: tuple[int, int]
    ) -> nn.Module:
        """Set where maps are replaced, and find their shapes in a dry run.

        Args:
            record_cfg: ``path``, and ``take`` for the input of a module.
            input_size: Height and width of the dry run's image, in pixels.

        Returns:
            The model of the dry run, with random weights; the teacher does
            not store it.

        Raises:
            ValueError: If the module does not exist or returns no maps.
        """
        self._record_cfg = dict(record_cfg)
        with forked_rng():
            model, _ = self._build()
            result = self._run_dry(model, input_size)
        self.route = result.route
        self.specs = [s for levels in result.specs.values() for s in levels]
        self._counts = {path: len(s) for path, s in result.specs.items()}
        self._check_maps()
        return model

    def _run_dry(
        self, model: nn.Module, size: tuple[int, int]
    ) -> DryRunResult:
        recorders = RecorderSet(model)
        paths = resolve_paths(
            expand_alias(self._record_cfg['path'], model),
            [name for name, _ in model.named_modules()],
        )
        for path in paths:
            recorders.add(model, path, **{**self._record_cfg, 'path': path})
        return dry_run(model, recorders, paths, size)

    def _check_maps(self) -> None:
        for spec in self.specs:
            if spec.stride is None:
                raise ValueError(
                    f'{self._record_cfg["path"]!r} of teacher '
                    f'{self.name!r} gives a tensor of shape {spec.shape}; '
                    'expected maps of shape '
                    "(N, C, H, W). Set at='neck', 'backbone' or 'logits'."
                )

    def _add_hooks(self, model: nn.Module) -> list[Replacer]:
        take, first, hooks = self._record_cfg.get('take', 'output'), 0, []
        for path, count in self._counts.items():
            module = model.get_submodule(path)
            hooks.append(Replacer(module, take, first, count))
            first += count
        return hooks

    def changing(self, change: Change) -> AbstractContextManager[None]:
        """Replace the maps inside ``with``.

        Args:
            change: Takes the index of a level and its map (N, C, H, W), and
                returns the map that the rest of the teacher gets instead.
        """
        return replacing(self._hooks, change)

    def loss(self, inputs: Tensor, samples: list) -> dict:
        """The teacher's own task loss.

        In eval mode some parts return another output than the loss needs
        (RepPoints, FCOS with ``norm_on_bbox``, DETR and its descendants, the
        backbones of DDRNet and PIDNet). Modules that have a ``loss``, and
        the model's direct children, are therefore set to training; layers such
        as batch norm and dropout lie deeper and stay in eval mode.

        Args:
            inputs: Images (N, C, H, W), preprocessed.
            samples: Their data samples, with ground truth.
        """
        in_training = [m for m in self.model.modules() if hasattr(m, 'loss')]
        in_training += self.model.children()
        for module in in_training:
            module.training = True
        try:
            return self.model.loss(inputs, samples)
        finally:
            for module in in_training:
                module.training = False

    def run_route(self, inputs: Tensor, samples: list) -> None:
        """Run the shortest route that computes every level.

        Call it inside ``changing``.

        Args:
            inputs: Images (N, C, H, W), preprocessed.
            samples: Their data samples.
        """
        run_route(self.route, self.model, inputs, samples)


def check_loss_depends_on_masks(at: object, losses: Mapping) -> None:
    """Check that the teacher's task loss depends on its masked maps.

    Raises:
        RuntimeError: If it does not, so only the diversity loss would train
            the tokens.
    """
    if not torch.is_grad_enabled():
        return
    for key, values in losses.items():
        if 'loss' in key:
            entries = values if isinstance(values, list) else [values]
            if any(value.requires_grad for value in entries):
                return
    raise RuntimeError(
        f'tokens at {at!r}: no loss of the teacher depends on the masked '
        'maps, so only their diversity would be trained. Set at= to a module '
        "whose output the teacher's heads use as input."
    )
