"""Loads encoders from files in the key layout of their publication."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from torch import Tensor, nn

from ..teachers.loading import fingerprint
from ..utils import (
    list_faults,
    load_and_compare,
    matches_any,
    plain_state,
    read_checkpoint,
)
from .layout_detection import check_layout
from .layouts import LAYOUTS, TIMM_TO_MMSEG, Layout, Rules, apply_rules

#: From DINO's own names of a transformer to those of transformers. A brace
#: splits a tensor into as many parts.
_BLOCK: Rules = (
    (r'\.ls(\d)\.gamma$', r'.layer_scale\1.lambda1'),
    (r'\.attn\.qkv\.', '.attention.{q_proj,k_proj,v_proj}.'),
    (r'\.attn\.proj\.', '.attention.o_proj.'),
)
_DINOV2: Rules = (
    (r'^(cls_token|register_tokens)$', r'embeddings.\1'),
    (r'^pos_embed$', 'embeddings.position_embeddings'),
    (r'^patch_embed\.proj\.', 'embeddings.patch_embeddings.projection.'),
    (r'^blocks\.', 'encoder.layer.'),
    (r'\.mlp\.w12\.', '.mlp.weights_in.'),
    (r'\.mlp\.w3\.', '.mlp.weights_out.'),
    (r'^norm\.', 'layernorm.'),
    *_BLOCK,
)
#: Names of transformers before its version 5.
_TRANSFORMERS_4: Rules = (
    (r'\{q_proj,k_proj,v_proj\}', 'attention.{query,key,value}'),
    (r'\.attention\.o_proj\.', '.attention.output.dense.'),
)
#: From its files, which have those names in any version, to version 5.
_TRANSFORMERS_5: Rules = (
    (r'\.attention\.attention\.query\.', '.attention.q_proj.'),
    (r'\.attention\.attention\.key\.', '.attention.k_proj.'),
    (r'\.attention\.attention\.value\.', '.attention.v_proj.'),
    (r'\.attention\.output\.dense\.', '.attention.o_proj.'),
)
_DINOV3: Rules = (
    (r'^cls_token$', 'embeddings.cls_token'),
    (r'^storage_tokens$', 'embeddings.register_tokens'),
    (r'^patch_embed\.proj\.', 'embeddings.patch_embeddings.'),
    (r'\.mlp\.fc1\.', '.mlp.up_proj.'),
    (r'\.mlp\.fc2\.', '.mlp.down_proj.'),
    (r'\.mlp\.w1\.', '.mlp.gate_proj.'),
    (r'\.mlp\.w2\.', '.mlp.up_proj.'),
    (r'\.mlp\.w3\.', '.mlp.down_proj.'),
    *_BLOCK,
)
_CONVNEXT: Rules = (
    (r'^norm\.', 'layer_norm.'),
    (r'^stages\.(\d+)\.(\d+)\.', r'stages.\1.layers.\2.'),
    (r'^downsample_layers\.(\d+)\.', r'stages.\1.downsample_layers.'),
    (r'\.dwconv\.', '.depthwise_conv.'),
    (r'\.pwconv(\d)\.', r'.pointwise_conv\1.'),
    (r'\.norm\.', '.layer_norm.'),
)


def _inside(rules: Rules) -> Rules:
    """With the encoder one module deeper, as in transformers 5."""
    return *rules, (r'^(stages|layer)\.', r'model.\1.')


_BLOCKS: Rules = ((r'^blocks\.', 'layer.'),)
#: By the name in ``layout``. Those of self-supervised projects are the same
#: as in PCD.
PUBLISHED = dict(
    **LAYOUTS,
    # github.com/facebookresearch/dinov3
    dinov3_vit=Layout(
        backbone_prefix='',
        renames=(_BLOCKS + _DINOV3, _inside(_BLOCKS + _DINOV3)),
        optional=('*.bias_mask', '*.k_proj.bias', 'rope_embed.*'),
        unused=('*mask_token',),
        marker='rope_embed.',
    ),
    dinov3_convnext=Layout(
        backbone_prefix='',
        renames=(_CONVNEXT, _inside(_CONVNEXT)),
        optional=('norms.3.*',),
        marker='downsample_layers.',
    ),
    # github.com/facebookresearch/dinov2, with registers or without
    dinov2=Layout(
        backbone_prefix='',
        renames=(_DINOV2, _DINOV2 + _TRANSFORMERS_4),
        unused=('*mask_token',),
        marker='mask_token',
    ),
    # DINOv2 of github.com/huggingface/transformers: model.safetensors
    dinov2_transformers=Layout(
        backbone_prefix='',
        renames=(_TRANSFORMERS_5,),
        unused=('*mask_token',),
        marker='embeddings.',
    ),
    # github.com/huggingface/pytorch-image-models
    timm_vit=Layout(
        backbone_prefix='',
        renames=(TIMM_TO_MMSEG,),
        optional=('head.*', 'fc_norm.*'),
        marker='patch_embed.',
    ),
    # pypi.org/project/efficientnet-lite-pytorch
    efficientnet_lite=Layout(
        backbone_prefix='',
        optional=('_fc.*', '_conv_head.*', '_bn1.*'),
        marker='_conv_stem.',
    ),
)


def load_published(
    network: nn.Module,
    checkpoint: str,
    layout: str | None,
    what: str,
    allow: Sequence[str] = (),
    dropped: Sequence[str] = (),
) -> str:
    """Load a file strictly into a network with the same or other names.

    Args:
        network: The network that gets the weights.
        checkpoint: File or address, anything MMEngine loads.
        layout: A name in :data:`PUBLISHED`; ``None``: the keys of the file
            are those of the network.
        what: The network in messages, such as ``"teacher 'big'"``.
        allow: Glob patterns of keys of the network that may differ.
        dropped: Modules whose weights in the file are not read.

    Returns:
        A fingerprint of the loaded weights.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the layout is not known, the file has another one, or
            keys are missing, unexpected or of another shape.
    """
    subject = f'the checkpoint of {what}'
    content = read_checkpoint(
        checkpoint, subject, 'Set checkpoint to a file or an address.'
    )
    state = plain_state(content['state_dict'])
    rules = Layout(backbone_prefix='')
    if layout is not None:
        rules = _layout_of(layout)
        check_layout(state, layout, f'{subject}, {checkpoint},', PUBLISHED)
    weights = fit_names(state, rules, network.state_dict(), dropped)
    allow = (*allow, *rules.unused)
    faults = load_and_compare(network, weights, allow)
    if any(faults.values()):
        raise ValueError(
            f'{subject} does not fit {type(network).__name__} '
            f'({len(network.state_dict())} tensors): {checkpoint}\n'
            f'{list_faults(faults)}\nUsual cause: another size of the '
            'network, or another layout. Change model or layout '
            f'({", ".join(PUBLISHED)}), name modules that are not needed, '
            'drop=[...], or what may differ: allow=[pattern, ...].'
            + f' {rules.hint}'.rstrip()
        )
    return fingerprint(weights)


def _layout_of(name: str) -> Layout:
    if name not in PUBLISHED:
        raise ValueError(
            f'layout {name!r} is not known. Choose one of '
            f'{", ".join(PUBLISHED)}, or None if the keys of the file are '
            'those of the network.'
        )
    return PUBLISHED[name]


def fit_names(
    state: OrderedDict[str, Tensor],
    layout: Layout,
    own: Iterable[str],
    dropped: Sequence[str] = (),
) -> OrderedDict[str, Tensor]:
    """Weights of a file by the names of a network.

    Of the renamings of a layout the one that fits most keys is taken, so a
    file loads into the published code and into another implementation.

    Args:
        state: Weights by the keys of the file.
        layout: Layout of the file.
        own: Keys of the network.
        dropped: Modules of the network without weights.
    """
    own = set(own)
    backbone = {
        own_key: value
        for key, value in state.items()
        if (own_key := _backbone_key(key, layout)) is not None
        and not matches_any(own_key, layout.unused)
    }
    named = [
        dict(_renamed(backbone, rules))
        for rules in ((), layout.backbone_rules, *layout.renames)
    ]
    best = max(named, key=lambda weights: len(own & weights.keys()))
    absent = (*layout.optional, *(f'{name}.*' for name in dropped))
    return OrderedDict(
        (key, value)
        for key, value in best.items()
        if key in own or not matches_any(key, absent)
    )


def _backbone_key(key: str, layout: Layout) -> str | None:
    """The published name of a weight; ``None`` outside the backbone."""
    target = replace(layout, backbone_rules=()).target_key(key)
    if target is None or target.startswith('backbone.'):
        return target and target.removeprefix('backbone.')
    # A classifier's head, unless the file is one of a projection head.
    return None if layout.widths or layout.backbone_prefix else target


def _renamed(
    weights: dict[str, Tensor], rules: Rules
) -> Iterator[tuple[str, Tensor]]:
    """Renamed weights; a name with a brace gets several parts of a tensor."""
    for key, value in weights.items():
        name = apply_rules(key, rules)
        start, brace, rest = name.partition('{')
        if not brace:
            yield name, value
            continue
        names, _, end = rest.partition('}')
        parts = names.split(',')
        for part, piece in zip(parts, value.chunk(len(parts)), strict=True):
            yield f'{start}{part}{end}', piece
