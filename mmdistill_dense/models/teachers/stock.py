"""Base class of frozen teachers that are stock models."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..utils import (
    FrozenHolder,
    as_list,
    build_model,
    forked_rng,
    resolve_config,
)
from .loading import load_weights


class StockTeacher(FrozenHolder):
    """A stock model that is frozen, in eval mode and strictly loaded.

    Args:
        name: Its name in the config, for messages.
        cfg: ``'package::path'``, a file or a dict.
        checkpoint: File or address of its weights.
        cfg_options: Merged into ``cfg``.
        allow: Glob patterns of state dict keys that may differ from the
            checkpoint's.

    Raises:
        FileNotFoundError: If the config does not exist.
        ValueError: If it contains no model.
    """

    #: Settings that its config may have.
    settings = frozenset({'cfg', 'checkpoint', 'cfg_options', 'allow'})
    #: The setting that it must have.
    required = 'cfg'

    def __init__(
        self,
        name: str,
        cfg: str | dict,
        checkpoint: str | None = None,
        cfg_options: dict | None = None,
        allow: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.name = name
        self.config = resolve_config(cfg, cfg_options)
        self.checkpoint = checkpoint
        self.allow = as_list(allow)
        #: Fingerprint of the loaded weights.
        self.fingerprint = ''
        #: Names of its classes in the checkpoint; empty if there are none.
        self.class_names: list[str] = []
        self._hooks: Any = None

    def _build(self) -> tuple[nn.Module, Any]:
        """The model with random weights, and its hooks."""
        model = build_model(self.config)
        return model, self._add_hooks(model)

    def _add_hooks(self, model: nn.Module) -> Any:
        """Add hooks to a model; implemented by subclasses."""
        raise NotImplementedError

    def load(self, like: Tensor) -> None:
        """Build the model, load it strictly and freeze it.

        Args:
            like: Tensor whose device and dtype the model gets.

        Raises:
            ValueError: If there is no checkpoint, or it does not fit.
            FileNotFoundError: If it does not exist.
        """
        if not self.checkpoint:
            raise ValueError(
                f'teacher {self.name!r} has no checkpoint, so it would teach '
                'noise. Set teacher.checkpoint to a file or an address.'
            )
        with forked_rng():
            model, self._hooks = self._build()
        self.fingerprint, self.class_names = self._load_weights(model)
        self._modify_model(model)
        self.set_frozen(model, like.device, like.dtype)
        self.to(device=like.device)

    def _load_weights(self, model: nn.Module) -> tuple[str, list[str]]:
        """Load the checkpoint strictly.

        Returns:
            A fingerprint, and the names of the classes if there are any.
        """
        return load_weights(model, str(self.checkpoint), self.allow, self.name)

    def _modify_model(self, model: nn.Module) -> None:
        """Change the loaded model before it is frozen."""
