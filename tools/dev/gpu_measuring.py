"""Parts of ``gpu_check.py`` that test and measure.

They use only public commands, configs and file formats of the project, so
that internal changes do not affect them.
"""

import importlib.util
import json
import re
from collections.abc import Callable

from gpu_commands import ROOT, Check, PartFailed, PartSkipped

PACKAGE = 'mmdistill_dense'
PEER = 'mmrazor'
#: Imported first, so that missing dependencies are reported early.
PACKAGES = (
    *('pkg_resources', 'rich', 'pytest', 'triton', 'mmcv.ops'),
    *('mmdet.apis', 'mmdet.datasets', 'mmseg.apis', 'mmseg.datasets'),
    'mmdistill_dense.registry',
)
#: Switches of the teacher, for one more contender each.
FAST = 'fold_bn=True,channels_last=True'
BF16 = f'precision=bf16,{FAST}'
STREAM = f'{BF16},stream=True'
#: Models and switches to measure, by precision. mmcv's RoIAlign supports
#: float16 on a GPU, but not bfloat16.
STEPS: dict[str, tuple[list[str], list[str]]] = {
    'fp32': (['pspnet', 'mask-rcnn'], [FAST]),
    'tf32': (['pspnet', 'mask-rcnn'], [FAST, BF16, STREAM]),
    'bf16': (['pspnet'], [FAST, STREAM]),
    'fp16': (['mask-rcnn'], [FAST]),
}


def environment(check: Check) -> dict:
    """Install the wheels and import all packages."""
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
    """Run the tests of kernels and meters on CUDA; a CPU skips them."""
    parallel = []
    if importlib.util.find_spec('xdist') and not check.dry:
        parallel = ['-n', '8']
    text = check.python(
        *('-m', 'pytest', '-q', '-rs', '-p', 'no:cacheprovider', *parallel),
        # These two need no GPU: they test Triton's interpreter and compiler.
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
        # The file is written after each section and may be incomplete.
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
    """Measurements of a section, by row."""
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
    """Check that a distilled step synchronizes no more than the floor."""
    rows = rows_of(section)
    floor = rows.get('floor', {}).get('synchronizations')
    for name, row in rows.items():
        count = row.get('synchronizations')
        if None in (count, floor) or not name.startswith(PACKAGE):
            continue
        if count > floor:
            raise PartFailed(
                f'{section["name"]}: a step of {name} waits for the GPU '
                f'{count} times, the floor {floor} times'
            )


def losses(check: Check) -> None:
    """Every loss, its plain form and the peer's, with TF32."""
    options = ['--no-scaling', '--precision', 'tf32']
    if not check.dry:
        options += ['--rounds', '9']
    benchmark(check, 'losses', 'losses', *options)


def step(precision: str) -> Callable[[Check], None]:
    """Training steps in one precision."""

    def run(check: Check) -> None:
        models, switches = STEPS[precision]
        if check.dry:
            # mmdet's NMS does not support float16 on a CPU.
            models = ['mask-rcnn' if precision == 'fp32' else 'pspnet']
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
