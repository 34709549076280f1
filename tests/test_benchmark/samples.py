"""Results made up by hand, small enough to be reckoned with."""

from mmdistill_tools.benchmark.measurements import Report, Row, Section

MIB = 2**20
SINGLE, FPN = 'mmrazor SingleTeacherDistill', 'mmrazor FpnTeacherDistill'
STEPS = {
    'student': [1.0, 1.2, 1.1],
    'floor': [2.0, 2.0, 2.0],
    'mmdistill_dense': [2.0, 2.2, 2.1],
    'mmdistill_dense, fold_bn=True': [1.8, 1.9, 1.7],
    SINGLE: [3.0, 2.8, 3.2],
    FPN: [2.0, 2.5, 2.2],
}
#: Weights and peak above them, in MiB.
MEMORY = {
    'student': (10, 100),
    'floor': (30, 110),
    'mmdistill_dense': (30, 120),
    SINGLE: (30, 180),
}


def step_section():
    return Section(
        'step/mask-rcnn',
        'mask-rcnn',
        dict(batch=2, height=320, width=480),
        [Row(name, seconds) for name, seconds in STEPS.items()],
        ['a note'],
    )


def memory_section():
    rows = [
        Row(name, bytes=dict(weights=weights * MIB, peak=peak * MIB))
        for name, (weights, peak) in MEMORY.items()
    ]
    sizes = dict(batch=2, height=320, width=480)
    return Section('memory/mask-rcnn', 'mask-rcnn', sizes, rows)


def loss_section():
    feature = 100 * MIB
    common = dict(feature=feature, traffic=3 * feature)
    rows = [
        Row(
            'mmdistill_dense',
            [0.1, 0.1],
            dict(common, extra=4 * MIB, saved=105 * MIB),
        ),
        Row('plain form', [0.4, 0.5], dict(common, extra=600 * MIB, saved=0)),
        Row('copy', [0.05, 0.05], dict(common, traffic=2 * feature)),
    ]
    sizes = dict(shapes=[[1, 2, 3, 4]])
    return Section('losses/cwd', 'CWD', sizes, rows)


def scaling_section():
    rows = [
        Row(
            f'size {label}{other}',
            [seconds],
            dict(extra=0, feature=400),
            dict(axis='size', at=label, form=form, elements=elements),
        )
        for label, elements, seconds in (
            ('4x4', 1000, 2e-3),
            ('8x8', 4000, 4e-3),
            ('9x9', 5000, 6e-3),
        )
        for form, other in (
            ('mmdistill_dense', ''),
            ('plain form', ', plain form'),
        )
    ]
    return Section('scaling/cwd', 'CWD, scaling', {}, rows)


def report(*sections):
    return Report(
        'step',
        'python tools/benchmark.py step --seed 3',
        'abc',
        dict(torch='2.0'),
        dict(processor='a processor', cores=2, threads=2),
        dict(device='cpu', rounds=3),
        dict(name='mmrazor', version='1.0.0', left_out={'a.b': 'why'}),
        '2026-01-01T00:00:00Z',
        list(sections),
    )
