"""MasKD's two stages, one Runner after the other in every process."""

import argparse
import copy
import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import (
    all_gather_object,
    init_dist,
    is_distributed,
    is_main_process,
)
from mmengine.utils.dl_utils import set_multi_processing
from mmengine.visualization import Visualizer

from . import launch
from .runs.lock import acquire_lock
from .runs.resume import resume_value

#: File that stage 1 writes into its work dir.
TOKEN_FILE = 'tokens.pth'


def train_both(args: argparse.Namespace) -> None:
    """Run stage 1, unless its token file exists, then stage 2.

    If all terms with tokens are disabled, only stage 2 runs.

    Args:
        args: Arguments of ``tools/train.py``, for stage 2, and
            ``token_options``, settings of stage 1.

    Raises:
        SystemExit: If the config does not describe two stages, or the token
            file cannot be made.
    """
    cfg = launch.training_config(args)
    found = [term for _, term in token_losses(cfg)]
    if found and all(map(_is_disabled, found)):
        _init_distributed(cfg)
        _print_on_main(
            f'No stage 1: the terms with tokens in {cfg.filename} are '
            'disabled.'
        )
    else:
        file, teacher = masked_terms(cfg)
        if '://' not in file:
            _init_distributed(cfg)
            _provide_tokens(Path(file), teacher, cfg, args)
    launch.build_runner(cfg).train()


def masked_terms(cfg: Config) -> tuple[str, ConfigDict]:
    """The token file of a stage 2 config, and the teacher it belongs to.

    Disabled terms are considered only if all terms are disabled.

    Raises:
        SystemExit: If no term has a token file, or terms have different ones.
    """
    model = cfg.get('model') or {}
    found = list(token_losses(cfg))
    found = [named for named in found if not _is_disabled(named[1])] or found
    if not found:
        raise SystemExit(
            f'{cfg.filename} has no term with tokens, so it has no two '
            'stages: expected a stage 2 config of MasKD, where a loss says '
            f'tokens=FILE, got model.type={model.get("type")!r}. '
            'tools/train.py trains any config.'
        )
    teachers = model.get('teacher') or {}
    names = sorted({str(term.get('teacher')) for _, term in found})
    files = sorted({str(term.loss.tokens) for _, term in found})
    if len(files) > 1 or len(names) > 1:
        raise SystemExit(
            f'the terms {[name for name, _ in found]} of {cfg.filename} do '
            f'not share their tokens: files {files}, teachers {names}. One '
            'stage 1 makes one file: train each token config with '
            'tools/train.py, then this one, too.'
        )
    if 'cfg' not in teachers and len(teachers) == 1:
        return files[0], next(iter(teachers.values()))
    return files[0], teachers.get(names[0], teachers)


def token_losses(cfg: Config) -> Iterator[tuple[str, ConfigDict]]:
    """Names and settings of the terms whose loss reads a token file."""
    terms = (cfg.get('model') or {}).get('terms') or {}
    for name, term in terms.items():
        if 'tokens' in (term.get('loss') or {}):
            yield name, term


def _is_disabled(term: ConfigDict) -> bool:
    """Whether the built term would be ``disabled``, and load no tokens."""
    levels = term.get('level_weights') or [1]
    return term.loss.get('loss_weight', 1) == 0 or not any(levels)


def token_config(
    file: Path, teacher: ConfigDict, cfg: Config, args: argparse.Namespace
) -> Config:
    """The config of stage 1, with the teacher of stage 2.

    Raises:
        SystemExit: If it is not named, or writes its tokens elsewhere.
    """
    name = cfg.get('token_cfg')
    if not name:
        raise SystemExit(
            f'{file} does not exist, and {cfg.filename} does not say how to '
            "make it: expected token_cfg='package::path' or a file, the "
            'config of stage 1, at its top level.'
        )
    if file.name != TOKEN_FILE:
        raise SystemExit(
            f'{file} does not exist, and stage 1 would not make it: it '
            f'leaves {TOKEN_FILE} in its work dir. Set tokens='
            f'{file.parent / TOKEN_FILE} in the loss, or give a file that is '
            'there.'
        )
    if file.parent.resolve() == Path(cfg.work_dir).resolve():
        raise SystemExit(
            f'both stages would work in {cfg.work_dir}, and one go on from '
            "the other's checkpoint. Give --work-dir another folder than "
            f'that of {file}.'
        )
    one_teacher = dict(_delete_=True, **copy.deepcopy(teacher))
    options = {'model.teacher': one_teacher, **(args.token_options or {})}
    stage = argparse.Namespace(
        **{
            **vars(args),
            'config': name,
            'cfg_options': options,
            'work_dir': str(file.parent),
            'resume': resume_value(file.parent),
        }
    )
    return launch.training_config(stage)


def _provide_tokens(
    file: Path, teacher: ConfigDict, cfg: Config, args: argparse.Namespace
) -> None:
    """Run stage 1 if the main process has no token file."""
    if _main_process_has(file):
        again = (
            f' Remove the folder {file.parent} to learn the tokens anew.'
            if file.name == TOKEN_FILE
            else ''
        )
        _print_on_main(f'Stage 1 is skipped: {file} is there.{again}')
    else:
        stage = token_config(file, teacher, cfg, args)
        with _locked(file.parent):
            # Another process may have written it before releasing the lock.
            if not _main_process_has(file):
                _print_on_main(
                    f'Stage 1, {stage.filename}, will leave {file}.'
                )
                _train(stage)
                all_gather_object(
                    None
                )  # wait for the main process, which writes the file
    if not all(all_gather_object(file.exists())):
        raise SystemExit(
            f'{file} is not there for every process after stage 1. Several '
            'machines need a file system that they share, or a copy of it on '
            "each; one machine needs custom_hooks=[dict(type='mmdistill_dense"
            ".TokenFileHook')] in the config of stage 1."
        )


def _main_process_has(file: Path) -> bool:
    """Whether the file exists for the main process; same in all processes."""
    return all_gather_object(file.exists())[0]


def _print_on_main(line: str) -> None:
    if is_main_process():
        print(line)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder of stage 1 against other processes.

    Raises:
        SystemExit: In every process, if the main process cannot lock it.
    """
    with ExitStack() as stack:
        problem = _acquire(folder, stack) if is_main_process() else None
        problem = all_gather_object(problem)[0]
        if problem:
            raise SystemExit(problem)
        yield


def _acquire(folder: Path, stack: ExitStack) -> str | None:
    """Lock until the stack closes; returns an error message or None."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = stack.enter_context((folder / '.lock').open('w'))
        if not acquire_lock(lock):
            return (
                f'stage 1 is being trained in {folder} by another process; '
                'wait for its tokens, then give this command again.'
            )
    except OSError as error:
        return (
            f'stage 1 cannot work in {folder}: {error}. Expected a folder '
            'that can be written, or made.'
        )
    return None


def _train(cfg: Config) -> None:
    """Train, and free all state of the run in this process."""
    runner = launch.build_runner(cfg)
    runner.train()
    _drop_visualizer(runner.visualizer)
    del runner
    gc.collect()  # Runner, loops and hooks refer to each other
    torch.cuda.empty_cache()


def _drop_visualizer(visualizer: Visualizer) -> None:
    """Remove the visualizer, so that the next Runner creates its own.

    Stock configs name it 'visualizer', and MMEngine keeps one instance per
    name: the next run would log into the folder of the first one.
    """
    for kind in type(visualizer).__mro__:
        made = vars(kind).get('_instance_dict', {})
        made.pop(visualizer.instance_name, None)


def _init_distributed(cfg: Config) -> None:
    """Initialize the process group, as the Runner does later."""
    if cfg.launcher == 'none' or is_distributed():
        return
    env = cfg.get('env_cfg') or {}
    set_multi_processing(**env.get('mp_cfg', {}), distributed=True)
    init_dist(cfg.launcher, **env.get('dist_cfg', {}))
