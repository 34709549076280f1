"""All that the tests of the pages do otherwise than a reader would.

Everything else is run as it stands.
"""

import shutil
import sys
from pathlib import Path

from . import project
from .blocks import ROOT, Block

#: Commands that are not at hand or must not run -> why, and what is run.
COMMANDS = dict(
    make=(
        'installs, compiles for minutes or runs for long: only whether the '
        'target exists',
        f'{shutil.which("make")} --dry-run --directory={ROOT} "$@" >/dev/null',
    ),
    pip=(
        'would change the environment: only whether the folder is a project',
        '[ "$1" = install ]\n'
        'for last; do :; done\n'
        f'[ -e "{ROOT}/${{last%%[*}}/pyproject.toml" ]',
    ),
    srun=(
        'no cluster at hand: one process here with what Slurm tells it, for '
        'the command behind the options',
        'while [ "${1#-}" != "$1" ]; do [ "$1" != -p ] || shift; shift; done\n'
        'export SLURM_PROCID=0 SLURM_NTASKS=1 SLURM_LOCALID=0\n'
        'exec "$@"',
    ),
    sbatch=('no cluster at hand: only a number', 'echo 1'),
    squeue=(
        'no cluster at hand: all tasks of that number, which wait',
        "printf '1_%d\\n' 0 1 2 3",
    ),
    mim=(
        'openmim has tests of its own, in an environment of its own: what '
        'it would start, for a config given as a path',
        'action=$1 package=$2\n'
        'shift 2\n'
        '[ "$package" = mmdistill_dense ] || exit 2\n'
        'case $action in\n'
        '    run) script=$1; shift ;;\n'
        '    train) script=train ;;\n'
        '    test) script=test\n'
        '        [ "$2" = --checkpoint ]; set -- "$1" "${@:3}" ;;\n'
        '    *) exit 2 ;;\n'
        'esac\n'
        'exec python "tools/$script.py" "$@"',
    ),
)

#: Trainings that are too long, or need data or weights that are not here:
#: ``untrained.py`` takes their place. Page -> glob of configs -> why.
LONG_RUNS: dict[str, dict[str, str]] = {
    'README.md': {
        'my_config.py': '400 iterations',
    },
    'docs/get_started.md': {'configs/demo/*': '400 iterations'},
    'docs/pcd.md': {'my_project/pcd.py': '300 iterations'},
}

#: What is changed in a block before it is run: page -> text -> (other, why).
CHANGED: dict[str, dict[str, tuple[str, str]]] = {
    'docs/get_started.md': {
        'shapes data/shapes': (
            'shapes data/shapes --train 4 --val 4',
            '800 and 120 pictures take long to draw and to test on',
        ),
    },
    'docs/cluster.md': {
        '10.0.0.7': ('127.0.0.1', 'both machines are this one'),
        'cwd_student.py 8\n# on the second': (
            'cwd_student.py 1 &\n# on the second',
            'one process each, at the same time',
        ),
        'cwd_student.py 8\n': (
            'cwd_student.py 1\nwait $!\n',
            'and both must end well',
        ),
    },
    'docs/maskd.md': {
        'train_maskd.py my_project/maskd.py': (
            'train_maskd.py my_project/maskd.py --token-options '
            'train_cfg.max_iters=4 train_cfg.val_interval=4 '
            'default_hooks.checkpoint.interval=4 '
            'train_dataloader.batch_size=2',
            'stage 1 has 500 iterations',
        ),
    },
    'docs/studies.md': {
        'seeds: [0, 1, 2]': ('seeds: [0]', 'each run takes seconds'),
        'length: 2': ('length: 0.004', 'the teacher has 2,500 iterations'),
    },
}

#: Blocks that cannot be checked: (page, first line) -> why.
NOT_CHECKED: dict[tuple[str, str], str] = {
    ('docs/from_mmrazor.md', '_base_ = ['): (
        'mmrazor 1.0.0 cannot be imported beside torch 2; test_mmrazor.py '
        'compares the two configs'
    ),
    (
        'docs/encoders.md',
        'python tools/new_distillation.py my_project/student.py '
        '--encoder dinov2-vits14 \\',
    ): (
        'transformers is not among the packages of the tests; '
        'test_encoder_teachers.py writes this preset, test_published.py loads '
        'such a file where it is installed'
    ),
}

#: Pages that begin with files which the reader has -> what writes them.
PREPARED = {
    'README.md': project.write_pair,
    'docs/cluster.md': project.write_project,
    'docs/encoders.md': project.write_project,
    'docs/from_mmrazor.md': project.write_mmrazor_checkpoint,
    'docs/maskd.md': project.write_project,
    'docs/own_model.md': project.write_detector,
    'docs/pcd.md': project.write_project,
    'docs/studies.md': project.write_project,
}


def write(folder: Path, page: str) -> Path:
    """Write the commands into a folder that comes first on ``PATH``."""
    folder.mkdir()
    scripts = {name: script for name, (_, script) in COMMANDS.items()}
    scripts['python'] = _python(LONG_RUNS.get(page, {}))
    for name, script in scripts.items():
        path = folder / name
        path.write_text(f'#!/usr/bin/env bash\nset -eu\n{script}\n')
        path.chmod(0o755)
    return folder


def _python(long_runs: dict[str, str]) -> str:
    """Python, but for a ``tools/train.py`` with one of these configs."""
    globs = '|'.join(f'*tools/train.py:{glob}' for glob in long_runs)
    return f"""all=("$@")
while [ $# -gt 1 ]; do
    case $1:$2 in
    {globs or 'none'}) exec {sys.executable} \\
        -m tests.test_docs.untrained "$@" ;;
    esac
    shift
done
exec {sys.executable} "${{all[@]}}"
"""


def changed(block: Block) -> str:
    """The text of a block as it is run."""
    text = block.text
    for old, (new, _) in CHANGED.get(block.page, {}).items():
        text = text.replace(old, new)
    return text


def is_listed(block: Block) -> bool:
    """Whether :data:`NOT_CHECKED` names the block."""
    first = block.text.partition('\n')[0].strip()
    return (block.page, first) in NOT_CHECKED
