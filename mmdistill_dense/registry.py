"""Child registries: ``type='mmdistill_dense.X'`` works from any host.

MMEngine imports this module at the first use of the prefix, and then the
``locations``; a config needs no ``custom_imports``.
"""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

MODELS = Registry(
    'model',
    parent=MMENGINE_MODELS,
    scope='mmdistill_dense',
    locations=['mmdistill_dense.models'],
)
HOOKS = Registry(
    'hook',
    parent=MMENGINE_HOOKS,
    scope='mmdistill_dense',
    locations=[
        'mmdistill_dense.hooks',
        'mmdistill_dense.models.maskd.token_file_hook',
        'mmdistill_dense.models.maskd.mask_visualization_hook',
    ],
)
LOOPS = Registry(
    'loop',
    parent=MMENGINE_LOOPS,
    scope='mmdistill_dense',
    locations=['mmdistill_dense.models.maskd.loops'],
)
DATASETS = Registry(
    'dataset',
    parent=MMENGINE_DATASETS,
    scope='mmdistill_dense',
    locations=['mmdistill_dense.datasets.views'],
)
TRANSFORMS = Registry(
    'transform',
    parent=MMENGINE_TRANSFORMS,
    scope='mmdistill_dense',
    locations=['mmdistill_dense.datasets.views'],
)
OPTIMIZERS = Registry(
    'optimizer',
    parent=MMENGINE_OPTIMIZERS,
    scope='mmdistill_dense',
    locations=['mmdistill_dense.optimizers'],
)
METRICS = Registry(
    'metric',
    parent=MMENGINE_METRICS,
    scope='mmdistill_dense',
    locations=['mmdistill_dense.metrics'],
)
