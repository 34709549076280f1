"""Everything that is registered: importing this fills the registries."""

from .backbones import *  # noqa: F403
from .classifiers import *  # noqa: F403
from .connectors import *  # noqa: F403
from .distillers import *  # noqa: F403
from .learners import *  # noqa: F403
from .losses import *  # noqa: F403
from .preprocessors import *  # noqa: F403
