"""The parts of ``gpu_check.py``: commands, and what to read of their results.

They know the project by its public commands, configs and file formats alone,
so that they stay as they are when the code below moves.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
PEER = 'mmrazor'
#: Teacher and student alike: R18 at full width; in a dry run a quarter of it.
MODEL = 'configs/camvid/pspnet_r18-d8_camvid-128x160.py'
NARROW = 'configs/camvid/pspnet_r18-w16-d8_camvid-128x160.py'
#: Imported first: what these need shows at once, not after minutes.
PACKAGES = (
    *('pkg_resources', 'rich', 'pytest', 'triton', 'mmcv.ops'),
    *('mmdet.apis', 'mmdet.datasets', 'mmseg.apis', 'mmseg.datasets'),
    'mmdistill_dense.registry',
)
#: Switches of the teacher, for one more contender each.
FAST = 'fold_bn=True,channels_last=True'
BF16 = f'precision=bf16,{FAST}'
STREAM = f'{BF16},stream=True'
#: Which models and switches are measured in which precision. mmcv's RoIAlign
#: knows float16 on a GPU, but no bfloat16.
STEPS: dict[str, tuple[list[str], list[str]]] = {
    'fp32': (['pspnet', 'mask-rcnn'], [FAST]),
    'tf32': (['pspnet', 'mask-rcnn'], [FAST, BF16, STREAM]),
    'bf16': (['pspnet'], [FAST, STREAM]),
    'fp16': (['mask-rcnn'], [FAST]),
}
SYNC_BN = [
    f'model.student.{part}.norm_cfg.type=SyncBN'
    for part in ('backbone', 'decode_head', 'auxiliary_head')
]
#: Images of the embedded data set, where no other is given.
IMAGES = ['--train', '160', '--val', '40', '--size', '240', '320']
FEW_IMAGES = ['--train', '8', '--val', '2', '--size', '240', '320']


class PartFailed(Exception):
    """A part did not do what it is for; the message says what."""


class PartSkipped(Exception):
    """A part, or something in it, could not run here."""


class Check:
    """Runs commands of one part, and keeps what they print.

    Args:
        args: What was given on the command line.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.dry = args.dry_run
        self.out = args.out.resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.log = self.out / 'gpu_check.log'
        self.log.write_bytes(b'')
        self.work = Path(tempfile.mkdtemp(prefix='gpu_check-'))
        self.env = dict(os.environ, PYTHONUNBUFFERED='1')
        if self.dry:
            # Threads that wait for each other take longer than small work.
            self.env['OMP_NUM_THREADS'] = '1'
        self.add_path(ROOT)
        #: Of the part that runs: when its time is over, and what it found.
        self.deadline = 0.0
        self.facts: dict = {}

    def add_path(self, folder: Path) -> None:
        """Let later commands import from a folder, before anything else."""
        paths = [str(folder), self.env.get('PYTHONPATH', '')]
        self.env['PYTHONPATH'] = os.pathsep.join(filter(None, paths))

    @property
    def device(self) -> str:
        """What ``tools/benchmark.py`` measures on."""
        return 'cpu' if self.dry else 'cuda'

    def python(self, *args: object, **env: str) -> str:
        """Run this Python in the checkout; see :meth:`run`."""
        return self.run(sys.executable, *args, **env)

    def run(self, *args: object, **env: str) -> str:
        """Run a command to its end, or to the part's.

        Returns:
            Everything that it printed.

        Raises:
            PartFailed: If it exits with an error.
            TimeoutError: If the part's time is over before.
        """
        command = [str(arg) for arg in args]
        line = shlex.join([*(f'{k}={v}' for k, v in env.items()), *command])
        start = self.log.stat().st_size
        with self.log.open('ab') as log:
            log.write(f'\n$ {line}\n'.encode())
            log.flush()
            code = self._wait(command, {**self.env, **env}, log)
        with self.log.open('rb') as log:
            log.seek(start)
            text = log.read().decode(errors='replace')
        if code:
            last = text.strip().splitlines()[-1]
            raise PartFailed(f'{line}: exit code {code}: {last}')
        return text

    def _wait(self, command: list[str], env: dict, log: IO[bytes]) -> int:
        """Exit code; all processes of a command end with its time."""
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            left = self.deadline - time.monotonic()
            return process.wait(timeout=max(0.1, left))
        except subprocess.TimeoutExpired:
            raise TimeoutError(shlex.join(command)) from None
        finally:
            if process.poll() is None:
                end(process)


def end(process: subprocess.Popen) -> None:
    """End a command and what it started.

    torch's launcher hands on a SIGTERM to its workers, which are in sessions
    of their own; a SIGKILL would leave them on the GPU.
    """
    os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def environment(check: Check) -> dict:
    """Install the wheels, import everything, name what is missing."""
    if check.args.wheels:
        site = check.work / 'site'
        wheels = sorted(check.args.wheels.glob('*.whl'))
        if not wheels:
            raise PartFailed(f'--wheels {check.args.wheels} has no *.whl')
        options = ['--no-index', '--no-deps', '--no-compile', '--upgrade']
        options += ['-q', '--no-cache-dir', '--target', site]
        check.python('-m', 'pip', 'install', *options, *wheels)
        check.add_path(site)
        check.add_path(ROOT)
    code = (
        'import importlib, json, sys, torch\n'
        f'for name in {PACKAGES!r}: importlib.import_module(name)\n'
        'names = "torch triton numpy mmengine mmcv mmdet mmseg".split()\n'
        'facts = {x: importlib.import_module(x).__version__ for x in names}\n'
        'facts["python"] = sys.version.split()[0]\n'
        'facts["cuda"] = torch.version.cuda\n'
        'if torch.cuda.is_available():\n'
        '    facts.update(gpu=torch.cuda.get_device_name(0),\n'
        '        capability=torch.cuda.get_device_capability(0))\n'
        'print("FACTS", json.dumps(facts))\n'
    )
    try:
        text = check.python('-c', code)
    except PartFailed as error:
        missing = re.search(r"No module named '(.+?)'", str(error))
        if missing is None:
            raise
        raise PartFailed(
            f'{missing[1]} is not installed here. Put its wheel into the '
            'folder of --wheels, or install it.'
        ) from None
    facts = json.loads(text.rpartition('FACTS ')[2])
    if 'gpu' not in facts and not check.dry:
        raise PartFailed(
            f'torch {facts["torch"]} sees no GPU here. --dry-run tries every '
            'part on a CPU.'
        )
    return facts


def kernels(check: Check) -> None:
    """Tests of kernels and meters on CUDA; on a CPU those are skipped."""
    parallel = []
    if importlib.util.find_spec('xdist') and not check.dry:
        parallel = ['-n', '8']
    text = check.python(
        *('-m', 'pytest', '-q', '-rs', '-p', 'no:cacheprovider', *parallel),
        # These two need no GPU: an interpreter's form, and a compiler's.
        '--ignore=tests/test_kernels/test_interpreted.py',
        '--ignore=tests/test_kernels/test_compiled.py',
        *('tests/test_kernels', 'tests/test_benchmark/test_meter.py'),
    )
    counts = {
        name: int(number)
        for number, name in re.findall(r'(\d+) (passed|skipped)\b', text)
    }
    check.facts.update(counts)
    if not counts.get('passed'):
        raise PartFailed('pytest did not say how many tests passed')
    if counts.get('skipped') and not check.dry:
        reasons = re.findall(r'^SKIPPED .*', text, re.MULTILINE)
        raise PartSkipped(f'{counts["skipped"]} tests: {"; ".join(reasons)}')


def benchmark(check: Check, mode: str, name: str, *options: str) -> None:
    """Run ``tools/benchmark.py``; facts: medians (ms), bytes of each row."""
    path = check.out / f'{name}.json'
    quick = ['--quick', '--rounds', '1'] if check.dry else []
    peer = [] if check.args.no_peer else ['--peer', PEER]
    if peer and not has_peer(check):
        peer = []
    common = ['--device', check.device, '--out', path, *peer, *quick]
    path.unlink(missing_ok=True)
    sections: list[dict] = []
    try:
        check.python('tools/benchmark.py', mode, *options, *common)
    finally:
        # It writes after each section: some may be there without the last.
        if path.exists():
            sections = json.loads(path.read_text())['sections']
        check.facts.update({x['name']: rows_of(x) for x in sections})
    for section in sections:
        check_synchronizations(section)
    if not peer and not check.args.no_peer:
        raise PartSkipped(
            f'{PEER} is not installed, so nothing was compared with it. Put '
            'its wheel and that of ordered-set into the folder of --wheels, '
            'or give --no-peer.'
        )


def has_peer(check: Check) -> bool:
    """Whether later commands can import the peer."""
    code = f'import importlib.util as u; print(bool(u.find_spec("{PEER}")))'
    return check.python('-c', code).strip().endswith('True')


def rows_of(section: dict) -> dict:
    """What a section measured, by row."""
    rows = {}
    for row in section['rows']:
        facts = {k: v for k, v in row['bytes'].items() if k != 'feature'}
        times = sorted(row['seconds'])
        if times:
            facts['ms'] = round(1e3 * times[len(times) // 2], 4)
        if 'synchronizations' in row['about']:
            facts['synchronizations'] = row['about']['synchronizations']
        rows[row['name']] = facts
    return rows


def check_synchronizations(section: dict) -> None:
    """No step of a distilled model waits for the GPU more than the floor."""
    rows = rows_of(section)
    floor = rows.get('floor', {}).get('synchronizations')
    for name, row in rows.items():
        count = row.get('synchronizations')
        if None in (count, floor) or not name.startswith('ours'):
            continue
        if count > floor:
            raise PartFailed(
                f'{section["name"]}: a step of {name} waits for the GPU '
                f'{count} times, the floor {floor} times'
            )


def losses(check: Check) -> None:
    """Every loss beside the plain form and the peer's, products in TF32."""
    options = ['--no-scaling', '--precision', 'tf32']
    if not check.dry:
        options += ['--rounds', '9']
    benchmark(check, 'losses', 'losses', *options)


def step(precision: str) -> Callable[[Check], None]:
    """Training steps in one precision."""

    def run(check: Check) -> None:
        models, switches = STEPS[precision]
        dry = dict(fp32=['mask-rcnn'], tf32=['pspnet'], bf16=['pspnet'])
        if check.dry:
            # mmdet's suppression of boxes has no float16 on a CPU.
            models = dry.get(precision, ['pspnet'])
            switches = switches[:1]
        options = ['--precision', precision, '--model', *models]
        for one in switches:
            options += ['--switches', one]
        if not check.dry:
            options += ['--rounds', '9']
        benchmark(check, 'step', f'step_{precision}', *options)

    return run


def memory(check: Check) -> None:
    """Peak memory of training steps."""
    models = ['pspnet'] if check.dry else ['pspnet', 'mask-rcnn']
    options = ['--model', *models]
    benchmark(check, 'memory', 'memory', *options)


def teacher(check: Check) -> dict:
    """Train a PSPNet for a while, and write a config that distils it."""
    data = check.args.data
    if data is None:
        data = check.work / 'data'
        images = FEW_IMAGES if check.dry else IMAGES
        module = 'mmdistill_dense.datasets.shapes'
        check.python('-m', module, data, *images)
    check.env['CAMVID_ROOT'] = str(data.resolve())
    model, iters = (NARROW, 2) if check.dry else (MODEL, 300)
    folder = check.work / 'teacher'
    logged = train(check, model, folder, iters)
    checkpoint = folder / f'iter_{iters}.pth'
    check.python(
        *('tools/new_distillation.py', model, model, '--force'),
        *('--checkpoint', checkpoint, '--out', check.work / 'cwd.py'),
    )
    return dict(iterations=iters, mIoU=score(logged))


def train(
    check: Check,
    config: object,
    folder: Path,
    iters: int,
    *options: str,
    save: int | None = None,
    validate: bool = True,
    extra: tuple = (),
    launcher: bool = False,
    **env: str,
) -> list[dict]:
    """Train through the public script; what MMEngine logged, line by line.

    Raises:
        PartFailed: If a loss is not finite.
    """
    settings = [
        f'train_cfg.max_iters={iters}',
        f'train_cfg.val_interval={iters if validate else 10 * iters}',
        f'default_hooks.checkpoint.interval={save or iters}',
        'default_hooks.logger.interval=1',
        f'param_scheduler.0.end={iters}',
        'randomness.seed=0',
        *options,
    ]
    if not check.dry:
        settings += [
            'train_dataloader.num_workers=8',
            'train_dataloader.persistent_workers=True',
        ]
    arguments = ['--work-dir', folder, *extra, '--cfg-options', *settings]
    if launcher:
        env['PYTHON'] = sys.executable
        script = 'tools/dist_train.sh'
        check.run('bash', script, config, '1', *arguments, **env)
    else:
        check.python('tools/train.py', config, *arguments, **env)
    logged = read_log(folder)
    for line in trained(logged):
        for key, value in line.items():
            if 'loss' in key and not isfinite(value):
                raise PartFailed(
                    f'{key} is {value} in iteration {line["step"]} of {folder}'
                )
    return logged


def read_log(folder: Path) -> list[dict]:
    """The newest log of a work dir."""
    files = sorted(folder.glob('*/vis_data/scalars.json'))
    if not files:
        raise PartFailed(f'{folder} holds no log of a training')
    return [json.loads(line) for line in files[-1].read_text().splitlines()]


def trained(logged: list[dict]) -> list[dict]:
    """Lines of training iterations, not those of a validation."""
    return [line for line in logged if 'loss' in line]


def score(logged: list[dict]) -> float:
    """The last mIoU of a log."""
    found = [line['mIoU'] for line in logged if 'mIoU' in line]
    if not found:
        raise PartFailed('the training was not validated: no mIoU is logged')
    return found[-1]


def config_of(check: Check) -> Path:
    """What :func:`teacher` wrote."""
    path = check.work / 'cwd.py'
    if not path.exists():
        raise PartSkipped('there is no teacher: that part did not pass')
    return path


def trainings(check: Check) -> None:
    """AMP, a resume, SyncBN under NCCL, and a checkpoint taken to a CPU."""
    config, iters = config_of(check), 2 if check.dry else 20
    middle, folder = iters // 2, check.work / 'amp'
    # MMEngine's AmpOptimWrapper refuses to run on a CPU.
    amp = () if check.dry else ('--amp',)
    facts = check.facts
    whole = train(check, config, folder, iters, save=middle, extra=amp)
    facts.update(first_loss=trained(whole)[0]['loss'], mIoU=score(whole))
    last = folder / f'iter_{iters}.pth'
    if amp:
        facts['loss_scale'] = loss_scale(check, last)
    facts['mIoU_on_cpu'] = score_on_cpu(check, config, last)
    if abs(facts['mIoU_on_cpu'] - facts['mIoU']) > 1:
        raise PartFailed(
            f'{last.name} has mIoU {facts["mIoU"]} on the GPU and '
            f'{facts["mIoU_on_cpu"]} on the CPU, more than 1 point apart'
        )
    resumed = train(
        check,
        config,
        check.work / 'resumed',
        iters,
        extra=(*amp, '--resume', folder / f'iter_{middle}.pth'),
        validate=False,
    )
    first = resumed[0]['step']
    facts['resumed'] = dict(first=first, last=resumed[-1]['step'])
    if first != middle + 1:
        raise PartFailed(
            f'resumed from iteration {middle}, the log begins with {first}'
        )
    one_process(check, config, middle)


def loss_scale(check: Check, checkpoint: Path) -> float:
    """Of the GradScaler that a checkpoint of AMP holds."""
    code = (
        'import sys, torch\n'
        'saved = torch.load(sys.argv[1], "cpu", weights_only=False)\n'
        'print("SCALE", saved["optimizer"]["loss_scaler"]["scale"])'
    )
    return float(check.python('-c', code, checkpoint).rpartition('SCALE ')[2])


def one_process(check: Check, config: Path, iters: int) -> None:
    """DDP of one process under NCCL, with SyncBN; on a CPU gloo and BN.

    SyncBN of one process has nobody to exchange its statistics with: that it
    is built and trained in DDP is seen, what it sends is not.
    """
    logged = train(
        check,
        config,
        check.work / 'distributed',
        iters,
        *SYNC_BN,
        validate=False,
        launcher=True,
        NCCL_DEBUG='VERSION',
        PORT=str(20000 + os.getpid() % 10000),
        # The launcher asks for this machine's name, and a resolver that does
        # not answer would let it wait.
        RES_OPTIONS='timeout:1 attempts:1',
    )
    check.facts['distributed_loss'] = logged[-1]['loss']
    version = re.search(r'NCCL version (\S+)', check.log.read_text())
    if version:
        check.facts['nccl'] = version[1]
    elif not check.dry:
        raise PartFailed('the process group did not start NCCL')


def score_on_cpu(check: Check, config: Path, checkpoint: Path) -> float:
    """Test a checkpoint where no GPU is seen."""
    folder = check.work / 'on_cpu'
    check.python(
        *('tools/test.py', config, checkpoint, '--work-dir', folder),
        CUDA_VISIBLE_DEVICES='',
    )
    (path,) = folder.glob('*/*.json')
    return json.loads(path.read_text())['mIoU']


def distil(check: Check) -> None:
    """CWD on real data, or on the embedded one, for 500 iterations."""
    iters = 2 if check.dry else 500
    logged = train(check, config_of(check), check.work / 'cwd', iters)
    lines = trained(logged)
    tenth = max(1, len(lines) // 10)

    def mean(key: str, some: list[dict]) -> float:
        return round(sum(line[key] for line in some) / len(some), 4)

    first, last = lines[:tenth], lines[-tenth:]
    check.facts.update(
        iterations=lines[-1]['step'],
        mIoU=score(logged),
        seconds_an_iteration=mean('time', last),
        **{
            key: [mean(key, first), mean(key, last)]
            for key in ('loss', 'loss_cwd')
        },
    )
    before, after = check.facts['loss_cwd']
    if after >= before and not check.dry:
        raise PartFailed(f'loss_cwd went from {before} to {after}')
