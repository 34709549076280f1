"""Registered models and losses; importing this fills the registries."""

from .connectors import *  # noqa: F403
from .distillers import *  # noqa: F403
from .encoders import *  # noqa: F403
from .losses import *  # noqa: F403
from .maskd import *  # noqa: F403
from .pcd import *  # noqa: F403
