"""What observed and hosted teachers share."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..utils import FrozenHolder, build_model, forked_rng, resolve_config
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
        ValueError: If it holds no model.
    """

    #: What its config may say.
    settings = frozenset({'cfg', 'checkpoint', 'cfg_options', 'allow'})

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
        self.allow = [allow] if isinstance(allow, str) else list(allow)
        #: Of the weights that were loaded.
        self.fingerprint = ''
        self._hooks: Any = None

    def _build(self) -> tuple[nn.Module, Any]:
        """The model with random weights, and what is hooked on it."""
        model = build_model(self.config)
        return model, self._add_hooks(model)

    def _add_hooks(self, model: nn.Module) -> Any:
        """Put hooks on a model; subclasses say which."""
        raise NotImplementedError

    def load(self, like: Tensor) -> None:
        """Build the model, load it strictly, freeze it.

        Args:
            like: A tensor whose device and dtype it gets.

        Raises:
            ValueError: If no checkpoint is given, or it does not fit.
            FileNotFoundError: If it does not exist.
        """
        if not self.checkpoint:
            raise ValueError(
                f'teacher {self.name!r} has no checkpoint, so it would teach '
                'noise. Set teacher.checkpoint to a file or an address.'
            )
        with forked_rng():
            model, self._hooks = self._build()
        self.fingerprint = load_weights(
            model, self.checkpoint, self.allow, self.name
        )
        self._adapt(model)
        self.set_frozen(model, like.device, like.dtype)
        self.to(device=like.device)

    def _adapt(self, model: nn.Module) -> None:
        """Change a model that is loaded, before it is frozen."""
