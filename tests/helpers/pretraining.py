"""Pre-training configs made small, their teachers' files and their batches.

Depth, layout of the file and forms of the heads stay as they are.
"""

from copy import deepcopy

import torch
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement

from mmdistill_dense.models.encoders.layouts import LAYOUTS
from mmdistill_dense.models.pcd.heads import build_head

#: Where a file of a layout keeps its keys, and what is before each key.
PLACES = dict(
    mocov3_resnet=('state_dict', 'module.'),
    mocov3_vit=('state_dict', 'module.'),
    byol=('model', 'module.'),
    barlow_twins=('model', 'module.'),
    swav=(None, 'module.'),
    openmmlab=('state_dict', ''),
)
SIZE = (64, 64)


def narrow(model):
    """A narrow model config for views of 64x64 pixels."""
    model = deepcopy(model)
    teacher = model['teacher']
    for backbone in (model['backbone'], teacher['backbone']):
        if '.ResNet' in backbone['type']:
            backbone.update(base_channels=8, stem_channels=8)
        elif backbone['type'].endswith('VisionTransformer'):
            backbone['embed_dims'] = 48
    if 'head' not in teacher:
        widths = LAYOUTS[teacher['layout']].widths
        teacher['head'] = dict(widths=[width // 16 for width in widths])
    model.update(queue_size=1024, input_size=SIZE)
    return model


def write_teacher(teacher, path, seed=1):
    """Write the file that a teacher's config asks for; returns its path.

    Names of layers are the host's: how official ones are renamed is tested
    where the layouts are.
    """
    name = teacher.get('layout', 'openmmlab')
    layout = LAYOUTS[name]
    torch.manual_seed(seed)
    backbone = MODELS.build(deepcopy(teacher['backbone']))
    backbone.init_weights()
    channels = teacher['backbone'].get('embed_dims') or backbone.feat_dim
    head = build_head(teacher.get('head'), layout, channels, False)
    place, wrapper = PLACES[name]
    state = {
        f'{wrapper}{prefix}{key}': value
        for prefix, module in (
            (layout.backbone_prefix, backbone),
            (layout.head_prefix, head),
        )
        for key, value in module.state_dict().items()
    }
    torch.save({place: state} if place else state, path)
    return str(path)


def views_batch(n=2, size=SIZE, seed=0):
    """Two views of each image, as ``default_collate`` gives them."""
    rng = torch.Generator().manual_seed(seed)
    views = torch.randint(0, 256, (2, n, 3, *size), generator=rng).byte()
    boxes = [(0.0, 0.0, 96.0, 96.0), (32.0, 32.0, 128.0, 128.0)]
    geometry = [dict(box=box, flip=False) for box in boxes]
    samples = [BaseDataElement(metainfo=dict(views=geometry))] * n
    return dict(inputs=list(views), data_samples=samples)
