"""Module paths: what a pattern stands for, and in which order."""

import pytest

from mmdistill_dense.recorders import resolve_paths

NAMES = [
    '',
    'backbone',
    'backbone.layer1',
    'backbone.layer2',
    'backbone.layer3',
    'neck',
    'neck.fpn_convs',
    *(
        f'neck.fpn_convs.{i}{part}'
        for i in range(12)
        for part in ('', '.conv')
    ),
    'rpn_head',
]


def test_a_plain_path_is_itself():
    assert resolve_paths('backbone.layer2', NAMES) == ['backbone.layer2']


def test_a_star_stays_within_one_part():
    layers = ['backbone.layer1', 'backbone.layer2', 'backbone.layer3']
    assert resolve_paths('backbone.*', NAMES) == layers
    assert resolve_paths('*', NAMES) == ['backbone', 'neck', 'rpn_head']
    assert resolve_paths('*.layer?', NAMES) == layers
    assert resolve_paths('backbone.layer[13]', NAMES) == layers[::2]


def test_a_glob_keeps_the_models_order():
    # By name, 10 would come before 2.
    found = resolve_paths('neck.fpn_convs.*.conv', NAMES)
    assert found == [f'neck.fpn_convs.{i}.conv' for i in range(12)]


@pytest.mark.parametrize(
    ('body', 'order'),
    [
        ('2,0', [2, 0]),
        ('2, 0', [2, 0]),
        ('0..3', [0, 1, 2, 3]),
        ('3..1', [3, 2, 1]),
        ('9..11', [9, 10, 11]),
        ('4..4', [4]),
        ('7', [7]),
    ],
)
def test_braces_keep_their_own_order(body, order):
    found = resolve_paths(f'neck.fpn_convs.{{{body}}}', NAMES)
    assert found == [f'neck.fpn_convs.{i}' for i in order]


def test_braces_combine_with_one_another_and_with_globs():
    found = resolve_paths('{neck.fpn_convs.{1,0}.conv,backbone.l*3}', NAMES)
    assert found == [
        'neck.fpn_convs.1.conv',
        'backbone.layer3',
        'neck.fpn_convs.0.conv',
    ]
    found = resolve_paths('neck.fpn_convs.{1..0}{,.conv}', NAMES)
    assert found == [
        'neck.fpn_convs.1',
        'neck.fpn_convs.1.conv',
        'neck.fpn_convs.0',
        'neck.fpn_convs.0.conv',
    ]


def test_no_module_is_named_twice():
    found = resolve_paths('backbone.layer{2,*}', NAMES)
    assert found == [f'backbone.layer{i}' for i in (2, 1, 3)]


def test_an_unknown_path_names_the_nearest():
    with pytest.raises(
        ValueError,
        match=r"no module matches 'backbone.layer4'. Nearest names: "
        r'backbone.layer3, .*named_modules',
    ):
        resolve_paths('backbone.layer4', NAMES)


def test_a_spelled_out_form_that_fails_is_named_with_its_pattern():
    with pytest.raises(
        ValueError,
        match=r"no module matches 'neck.fpn_convs.12' \(from "
        r"'neck.fpn_convs.\{0..12\}'\)",
    ):
        resolve_paths('neck.fpn_convs.{0..12}', NAMES)


def test_a_path_that_is_like_nothing_gets_the_names_at_the_top():
    with pytest.raises(
        ValueError, match='Nearest names: backbone, neck, rpn_head'
    ):
        resolve_paths('xyzzy', NAMES)


def test_a_part_that_is_like_nothing_gets_its_siblings():
    with pytest.raises(ValueError, match=r'Nearest names: backbone\.layer1, '):
        resolve_paths('backbone.' + 'z' * 30, NAMES)


def test_the_model_itself_is_no_module_of_it():
    with pytest.raises(ValueError, match="no module matches ''"):
        resolve_paths('', NAMES)
