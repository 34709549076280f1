"""A training that was killed and resumed ends as one that was not.

Each case trains without interruption, then again with SIGKILL at some point
and a resume, and compares the last checkpoints and every logged value.
"""

import random

import pytest
import torch

from ..helpers.resumed import Case, differences, logged
from ..helpers.tool_runs import ROOT

PSPNET = 'demo/cwd_pspnet_shapes.py'
MASK_RCNN = 'demo/cwd_mask-rcnn_shapes.py'
TOKENS = {
    'demo/maskd_pspnet_shapes.py': 'demo/tokens_pspnet_shapes.py',
    'demo/maskd_mask-rcnn_shapes.py': 'demo/tokens_mask-rcnn_shapes.py',
}
EMA = "custom_hooks.append(dict(type='EMAHook', momentum=0.1))"
ACCUMULATE = 'optim_wrapper = dict(accumulative_counts=3)'
BF16 = "optim_wrapper = dict(type='CpuBf16Wrapper')"
BEST = 'default_hooks["checkpoint"].update(save_best="mIoU", rule="greater")'


def somewhere(name, low=5, high=15):
    """An iteration that depends on the name alone."""
    return dict(iteration=random.Random(name).randint(low, high))


def case(config, name, *options, kills=None, **settings):
    return Case(
        config,
        name,
        kills or [somewhere(name)],
        '\n'.join(options),
        **settings,
    )


QUICK = [
    case(PSPNET, 'CWD, PSPNet'),
    case(
        PSPNET,
        'CWD, PSPNet, two workers, EMA, while saving',
        EMA,
        workers=2,
        kills=[dict(save=2)],
    ),
]
MORE = [
    case(PSPNET, 'CWD, PSPNet, epochs', epochs=True),
    case(
        PSPNET,
        'CWD, PSPNet, epochs, two workers, while saving',
        epochs=True,
        workers=2,
        kills=[dict(save=4)],
    ),
    case(PSPNET, 'CWD, PSPNet, accumulation', ACCUMULATE),
    case(PSPNET, 'CWD, PSPNet, bf16, two workers', BF16, workers=2),
    case(
        PSPNET,
        'CWD, PSPNet, best kept, killed twice',
        BEST,
        kills=[dict(iteration=9), dict(save=2)],
    ),
    case(PSPNET, 'CWD, PSPNet, two processes', processes=2),
    case(
        PSPNET,
        'CWD, PSPNet, two processes, two workers, accumulation',
        ACCUMULATE,
        processes=2,
        workers=2,
        kills=[dict(iteration=13, rank=1)],
    ),
    case(MASK_RCNN, 'CWD, Mask R-CNN'),
    case(
        MASK_RCNN,
        'CWD, Mask R-CNN, epochs, two workers',
        epochs=True,
        workers=2,
    ),
    case(MASK_RCNN, 'CWD, Mask R-CNN, two processes, EMA', EMA, processes=2),
    case('demo/maskd_pspnet_shapes.py', 'MasKD, PSPNet, EMA', EMA),
    case(
        'demo/maskd_mask-rcnn_shapes.py',
        'MasKD, Mask R-CNN, two workers, while saving',
        workers=2,
        kills=[dict(save=3)],
    ),
    case('demo/tokens_pspnet_shapes.py', 'tokens, PSPNet'),
    case(
        'demo/tokens_mask-rcnn_shapes.py',
        'tokens, Mask R-CNN, two workers, while saving the pointer',
        workers=2,
        kills=[dict(save=3)],
    ),
    case(
        'demo/contrast_pspnet_shapes.py',
        'PCD, head of the teacher',
    ),
    case('demo/pcd_pspnet_shapes.py', 'PCD, two workers', workers=2),
    case(
        'demo/pcd_pspnet_shapes.py',
        'PCD, two processes, while saving',
        processes=2,
        kills=[dict(save=2)],
    ),
    case(
        'demo/pcd_pspnet_shapes.py',
        'PCD, accumulation',
        ACCUMULATE,
    ),
]


@pytest.mark.parametrize(
    'case',
    [
        *(pytest.param(case, id=case.name) for case in QUICK),
        *(
            pytest.param(case, id=case.name, marks=pytest.mark.slow)
            for case in MORE
        ),
    ],
)
def test_a_killed_run_ends_as_another(case, tmp_path, shapes_root, stages):
    case = with_stages(case, stages)
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    code, text = case.train(whole)
    assert code == 0, text[-3000:]
    for kill in case.kills:
        code, text = case.train(killed, kill)
        assert code != 0, 'it was not killed'
        assert not (killed / 'run' / case.last).exists()
    code, text = case.train(killed)
    assert code == 0, text[-3000:]
    assert 'not bit for bit' not in text
    one, two = (
        torch.load(folder / 'run' / case.last, weights_only=False)
        for folder in (whole, killed)
    )
    assert differences(one, two) == []
    one, two = logged(whole / 'run'), logged(killed / 'run')
    assert one == two
    assert len(one) >= case.iterations


def test_the_page_lists_these_cases():
    page = (ROOT / 'docs/reliability.md').read_text('utf-8')
    rows = [
        f'| {case.name} | {", then ".join(map(_killed, case.kills))} |\n'
        for case in (*QUICK, *MORE)
    ]
    assert len(rows) == 20
    assert '|---|---|\n' + ''.join(rows) in page


def _killed(kill):
    if 'save' in kill:
        return f'file {kill["save"] + 1} that is saved'
    process = ', of the second process' if kill.get('rank') else ''
    return f'iteration {kill["iteration"] + 1}{process}'


def with_stages(case, stages):
    """The case, with the files of the stages before it."""
    if case.config in TOKENS:
        file = stages(
            TOKENS[case.config], 'tokens.pth', 'train_cfg.max_iters=2'
        )
        names = (
            ['maskd', 'maskd_aux'] if 'pspnet' in case.config else ['maskd']
        )
        lines = [
            f'{name}=dict(loss=dict(tokens={str(file)!r}))' for name in names
        ]
        case.options += f'\nmodel = dict(terms=dict({", ".join(lines)}))'
    elif 'pcd' in case.config:
        file = stages(
            'demo/contrast_pspnet_shapes.py',
            'iter_2.pth',
            'train_cfg.max_iters=2',
            'default_hooks.checkpoint.interval=2',
        )
        case.options += (
            f'\nmodel = dict(teacher=dict(checkpoint={str(file)!r}))'
        )
    return case
