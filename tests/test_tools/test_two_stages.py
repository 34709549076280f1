"""tools/train_maskd.py: stage 1 where it is needed, then stage 2."""

import argparse
import json
import time
import weakref
from pathlib import Path
from threading import Timer
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, RUNNERS

from mmdistill_tools import launch, two_stages
from mmdistill_tools.runs import lock

from ..helpers.datasets import write_dataset
from ..helpers.runs import differing
from ..helpers.tool_runs import (
    TOOLS,
    in_two_processes,
    run_here,
    run_script,
    write_distiller,
    write_pair,
)

pytestmark = pytest.mark.filterwarnings('ignore:SyncBN works on GPUs only')
#: Its teacher is that of stage 2, where it has all that is missing here.
STAGE_1 = """_base_ = './{student}'
model = dict(
    _delete_=True,
    type='mmdistill_dense.MaskTokenLearner',
    teacher=dict(cfg='nowhere.py', checkpoint='nowhere.pth'),
    at='logits',
    num_tokens=3,
    weighting=False)
train_cfg = dict(max_iters=4)
default_hooks = dict(checkpoint=dict(interval=2))
custom_hooks = [dict(type='mmdistill_dense.TokenFileHook')]
"""
TERMS = """dict(maskd=dict(at='logits', loss=dict(
        type='mmdistill_dense.MaskedSegmentationLoss',
        tokens='{tokens}')))"""


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
    """A student's config, and its teacher."""
    folder = tmp_path_factory.mktemp('configs')
    data = write_dataset(folder / 'data')
    return write_pair(folder, data, 'mmseg', 2)


@pytest.fixture
def config(pair, tmp_path):
    """A stage 2 config, whose tokens are to be ``tmp_path/tokens/...``."""
    student, teacher = pair
    first = student.parent / 'tokens.py'
    first.write_text(STAGE_1.format(student=student.name))
    return write_distiller(
        student.parent,
        student,
        teacher,
        TERMS.format(tokens=tmp_path / 'tokens' / 'tokens.pth'),
        extra=f'token_cfg = {str(first)!r}',
    )


@pytest.fixture
def train(tmp_path):
    """Run the tool in this process, with a work dir below ``tmp_path``."""

    def run(config, work_dir, *args):
        folder = tmp_path / work_dir
        run_here('train_maskd', config, '--work-dir', folder, *args)
        (saved,) = folder.glob('iter_*.pth')
        return torch.load(saved, weights_only=False)['state_dict']

    return run


def logged(folder):
    """Records of every start of a run; one file for each start."""
    return [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(folder.glob('*/vis_data/scalars.json'))
    ]


@HOOKS.register_module()
class Witness(Hook):
    """Sees that a Runner's model is gone before the next one trains."""

    models = []

    def before_run(self, runner):
        assert [ref() for ref in self.models] == [None] * len(self.models)
        self.models.append(weakref.ref(runner.model))


def test_nothing_of_stage_1_is_left_in_stage_2(
    config, train, tmp_path, capsys
):
    watched = 'default_hooks.witness.type=Witness'
    both = train(
        *(config, 'both', '--cfg-options', watched),
        *('--token-options', watched),
    )
    assert 'tokens.py, will leave' in capsys.readouterr().out
    assert len(Witness.models) == 2
    (first,) = logged(tmp_path / 'tokens')
    (second,) = logged(tmp_path / 'both')
    assert [r['step'] for r in first] == [1, 2, 3, 4]
    assert all('loss_diversity' in r for r in first)
    assert [r['step'] for r in second] == [1, 2]
    assert all('loss_maskd' in r for r in second)
    alone = train(config, 'alone')
    line = f'is there. Remove the folder {tmp_path / "tokens"} to learn'
    assert line in capsys.readouterr().out
    assert len(logged(tmp_path / 'tokens')) == 1
    assert not differing(both, alone)


@pytest.mark.parametrize(
    ('cut', 'begin'), [(0, 4), (100, 2)], ids=['whole', 'cut']
)
def test_a_stage_1_that_left_no_file_goes_on(
    config, train, tmp_path, capsys, cut, begin
):
    options = ('--token-options', 'model.num_tokens=2')
    with pytest.raises(SystemExit, match='not there for every process'):
        train(config, 'work', *options, 'custom_hooks=[]')
    assert not (tmp_path / 'work').exists()
    # All its iterations were done, but its last checkpoint may be cut off.
    last = tmp_path / 'tokens' / 'iter_4.pth'
    content = last.read_bytes()
    last.write_bytes(content[: len(content) - cut])
    train(config, 'work', *options)
    assert f'resumed epoch: 0, iter: {begin}\n' in capsys.readouterr().out
    left = torch.load(tmp_path / 'tokens' / 'tokens.pth', weights_only=True)
    assert left['state_dict']['mask_modules.0.mask_token'].shape[0] == 2


@pytest.mark.slow
def test_two_processes_do_both_stages_together(config, tmp_path):
    args = (config, '--work-dir', tmp_path / 'work')
    for line in ('will leave', 'Stage 1 is skipped'):
        code, text = run_script(TOOLS / 'train_maskd.py', *args, processes=2)
        assert code == 0, text[-3000:]
        assert text.count(line) == 1
    assert len(logged(tmp_path / 'tokens')) == 1
    assert len(logged(tmp_path / 'work')) == 2


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Another process works in the folder of stage 1."""
    monkeypatch.setattr(lock, 'LOCK_TIMEOUT', 0)
    path = tmp_path / 'tokens' / '.lock'
    path.parent.mkdir()
    with path.open('w') as held:
        assert lock.acquire_lock(held)
        yield held


@pytest.fixture
def learn(monkeypatch, tmp_path):
    """Stage 1 with another Runner; returns how often there was one."""
    monkeypatch.setenv('LOCAL_RANK', '0')
    file, stage = tmp_path / 'tokens' / 'tokens.pth', tmp_path / 'stage.py'
    stage.write_text("runner_type = 'StandIn'\n")
    cfg = Config(dict(token_cfg=str(stage), work_dir=str(tmp_path)))
    args = launch.train_parser('').parse_args(['stage_2.py'])
    args.token_options = None

    def run(train):
        runners = []

        class StandIn:
            visualizer = SimpleNamespace(instance_name='none')

            @classmethod
            def from_cfg(cls, cfg):
                runners.append(cls())
                return runners[-1]

            def train(self):
                train(file)

        RUNNERS.register_module(name='StandIn', force=True, module=StandIn)
        two_stages._provide_tokens(file, {}, cfg, args)
        return len(runners)

    yield run
    RUNNERS.module_dict.pop('StandIn', None)


def test_the_tokens_that_the_first_process_writes_are_waited_for(learn):
    def work(rank):
        def train(file):
            if rank == 0:
                time.sleep(0.5)
                file.touch()

        assert learn(train) == 1

    in_two_processes(work)


def test_every_process_ends_if_the_first_one_has_no_lock(learn, other):
    def work(rank):
        with pytest.raises(SystemExit, match='is being trained in'):
            learn(Path.touch)

    in_two_processes(work)


def test_only_one_learns_in_a_folder(learn, other, tmp_path):
    cut = tmp_path / 'tokens' / 'iter_2.pth'
    cut.touch()  # the other one is writing it
    match = f'being trained in {cut.parent} by another process; wait for its'
    with pytest.raises(SystemExit, match=match):
        learn(Path.touch)
    assert cut.exists()
    other.close()
    assert learn(Path.touch) == 1
    assert cut.exists()  # what cannot be read is kept


def test_tokens_that_came_during_the_wait_are_taken(
    learn, other, monkeypatch, tmp_path
):
    def end():
        (tmp_path / 'tokens' / 'tokens.pth').touch()
        other.close()

    monkeypatch.setattr(lock, 'LOCK_TIMEOUT', 60)
    Timer(0.3, end).start()
    assert learn(Path.touch) == 0


def test_a_failed_stage_1_gives_its_folder_back(learn):
    def fail(_):
        raise RuntimeError('out of memory')

    with pytest.raises(RuntimeError, match='out of memory'):
        learn(fail)
    assert learn(Path.touch) == 1


def test_a_folder_that_cannot_be_made_is_named(learn, tmp_path):
    (tmp_path / 'tokens').touch()
    match = f'stage 1 cannot work in {tmp_path / "tokens"}: .*Errno'
    with pytest.raises(SystemExit, match=match):
        learn(Path.touch)


def test_a_folder_of_other_files_is_not_to_be_removed(tmp_path, capsys):
    file = tmp_path / 'official.pth'
    file.touch()
    two_stages._provide_tokens(file, {}, Config(), None)
    assert capsys.readouterr().out == f'Stage 1 is skipped: {file} is there.\n'


def test_terms_that_rest_need_no_stage_1(config, train, tmp_path, capsys):
    rest = 'model.terms.maskd.loss.loss_weight=0'
    train(config, 'work', '--cfg-options', rest)
    assert 'No stage 1: the terms with tokens' in capsys.readouterr().out
    assert not (tmp_path / 'tokens').exists()


@pytest.mark.parametrize('on', [False, True])
def test_processes_are_joined_as_the_runner_would(monkeypatch, on):
    called = []
    monkeypatch.setattr(
        two_stages, 'init_dist', lambda *a, **k: called.append((a, k))
    )
    monkeypatch.setattr(
        two_stages, 'set_multi_processing', lambda **k: called.append(k)
    )
    monkeypatch.setattr(two_stages, 'is_distributed', lambda: on)
    env = dict(
        mp_cfg=dict(mp_start_method='fork'), dist_cfg=dict(backend='nccl')
    )
    cfg = Config(dict(launcher='slurm', env_cfg=env))
    two_stages._init_distributed(cfg)
    expected = [
        dict(mp_start_method='fork', distributed=True),
        (('slurm',), dict(backend='nccl')),
    ]
    assert called == ([] if on else expected)


def stage_2(terms=None, **settings):
    """A config that is only read."""
    if terms is None:
        terms = dict(maskd='work_dirs/tokens/tokens.pth')
    terms = {
        name: dict(loss=dict(tokens=file)) if file else dict(loss={})
        for name, file in terms.items()
    }
    model = dict(type='D', teacher=dict(cfg='t.py'), terms=terms)
    return Config(dict(model=model, work_dir='work_dirs/x', **settings))


def token_config(cfg, file='work_dirs/tokens/tokens.pth'):
    args = argparse.Namespace(token_options=None)
    return two_stages.token_config(Path(file), {}, cfg, args)


@pytest.mark.parametrize(
    'cfg', [stage_2(dict(cwd=None)), Config(dict(model=dict(type='PSPNet')))]
)
def test_a_config_of_one_stage_is_refused(cfg):
    with pytest.raises(SystemExit, match=r'no two stages.*tools/train\.py'):
        two_stages.masked_terms(cfg)


def test_a_config_without_tokens_is_refused_by_the_tool(pair, train):
    student, _ = pair
    with pytest.raises(SystemExit, match=r"model\.type='EncoderDecoder'"):
        train(student, 'work')


def test_terms_of_several_token_files_are_refused():
    cfg = stage_2(dict(a='1/tokens.pth', b='2/tokens.pth', c=None))
    match = (
        r"terms \['a', 'b'\] of .* do not share their tokens: files "
        r"\['1/tokens\.pth', '2/tokens\.pth'\]"
    )
    with pytest.raises(SystemExit, match=match):
        two_stages.masked_terms(cfg)


def test_the_teacher_is_that_of_the_masked_terms():
    cfg = stage_2(dict(a='f', b='f', c=None))
    assert two_stages.masked_terms(cfg) == ('f', dict(cfg='t.py'))
    cfg.model.teacher = dict(only=dict(cfg='o.py'))
    assert two_stages.masked_terms(cfg)[1] == dict(cfg='o.py')
    cfg.model.teacher = dict(x=dict(cfg='x.py'), y=dict(cfg='y.py'))
    cfg.model.terms.a.teacher = cfg.model.terms.b.teacher = 'y'
    assert two_stages.masked_terms(cfg)[1] == dict(cfg='y.py')
    cfg.model.terms.b.teacher = 'x'
    with pytest.raises(SystemExit, match=r"teachers \['x', 'y'\]"):
        two_stages.masked_terms(cfg)


@pytest.mark.parametrize(
    'rest', [dict(loss=dict(loss_weight=0)), dict(level_weights=[0, 0.0])]
)
def test_terms_that_rest_count_only_if_all_do(rest):
    cfg = stage_2(dict(a='1/tokens.pth', b='2/tokens.pth'))
    cfg.merge_from_dict(dict(model=dict(terms=dict(a=rest))))
    assert two_stages.masked_terms(cfg)[0] == '2/tokens.pth'
    cfg.model.terms.pop('b')
    assert two_stages.masked_terms(cfg) == ('1/tokens.pth', dict(cfg='t.py'))


def test_a_missing_token_cfg_is_named():
    match = (
        r'work_dirs/tokens/tokens\.pth does not exist.*expected '
        r"token_cfg='package::path' or a file"
    )
    with pytest.raises(SystemExit, match=match):
        token_config(stage_2())


def test_a_token_file_that_stage_1_would_not_leave_is_named():
    match = r'there/mine\.pth does .* Set tokens=there/tokens\.pth in the loss'
    with pytest.raises(SystemExit, match=match):
        token_config(stage_2(token_cfg='t.py'), 'there/mine.pth')


def test_one_work_dir_for_both_stages_is_refused():
    match = 'both stages would work in work_dirs/x'
    with pytest.raises(SystemExit, match=match):
        token_config(stage_2(token_cfg='t.py'), 'work_dirs/x/tokens.pth')
