"""Both stages of MasKD: learn the tokens, then distil with them.

CONFIG is the config of stage 2, as configs/maskd/maskd_*.py. Its token_cfg
names the one of stage 1, which runs first, in the folder of the token file,
with the teacher of stage 2; it is skipped if that file is there, or if all
terms that would read it have loss_weight=0. A stage 1 that was interrupted
goes on; for stage 2 there is --resume.
"""

import argparse

from mmengine.config import DictAction

from mmdistill_tools import launch
from mmdistill_tools.two_stages import train_both


def parse_args():
    parser = launch.train_parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        '--token-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config of stage 1',
    )
    return parser.parse_args()


if __name__ == '__main__':
    train_both(parse_args())
