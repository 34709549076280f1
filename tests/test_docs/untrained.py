"""What a long training leaves behind, without training.

Is called as ``tools/train.py`` is, whose arguments it reads: builds the
model of the config, which prints the terms, and writes the last checkpoint
and the config as the Runner would, with the weights that were built.
"""

import runpy
import sys
from pathlib import Path

import torch
from mmengine.logging import MMLogger

from mmdistill_dense.models.utils import build_model


def main():
    script = sys.argv[0] = sys.argv[1]
    del sys.argv[1]
    sys.path.insert(0, str(Path(script).parent))  # as Python does for a script
    from mmdistill_tools import launch

    args = runpy.run_path(script)['parse_args']()
    args.launcher = 'none'
    cfg = launch.load_config(args)
    MMLogger.get_instance('mmengine', log_level='INFO')
    weights = build_model(cfg).state_dict()
    folder = Path(cfg.work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    cfg.dump(folder / Path(args.config).name)
    torch.save(dict(meta={}, state_dict=weights), folder / f'{last(cfg)}.pth')


def last(cfg):
    """Stem of the last checkpoint's name."""
    loop = cfg.train_cfg
    if 'max_epochs' in loop:
        return f'epoch_{loop.max_epochs}'
    return f'iter_{loop.max_iters}'


if __name__ == '__main__':
    main()
