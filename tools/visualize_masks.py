"""Draw the masks of receptive tokens on images (MasKD, stage 1).

Each image becomes one picture: its rows are the levels of the map that the
tokens were learned on, its columns the tokens.
"""

import argparse
import logging
import os.path as osp
import warnings

import cv2
from mmengine.config import DictAction
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.utils import mkdir_or_exist

from mmdistill_dense import inspection
from mmdistill_dense.models.maskd import token_images
from mmdistill_dense.models.maskd.token_pictures import draw_masks
from mmdistill_tools import token_learners


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'config',
        help='config of stage 1, or one of stage 2, whose token_cfg and '
        "teacher are taken: a file, or 'package::path' of an installed one",
    )
    parser.add_argument(
        'tokens', help='token file, or a checkpoint of stage 1'
    )
    parser.add_argument(
        'images', nargs='+', help='image files, or folders of them'
    )
    parser.add_argument(
        '--out-dir',
        default=osp.join('work_dirs', 'masks'),
        help='folder for the pictures, NAME_masks.png; default: %(default)s',
    )
    parser.add_argument(
        '--device', default=get_device(), help='default: %(default)s'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    return parser.parse_args()


def main():
    args = parse_args()
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    warnings.simplefilter('ignore')  # the hosts' own, while they build
    try:
        files = token_images.image_files(args.images)
        cfg = inspection.read_config(args.config, args.cfg_options)
        cfg = token_learners.stage_one(cfg)
        pipeline = token_images.test_pipeline(cfg)
        learner = token_learners.load_learner(cfg, args.tokens, args.device)
        mkdir_or_exist(args.out_dir)
        names = token_images.picture_names(files)
        for file, name in zip(files, names, strict=True):
            packed = token_images.read_image(pipeline, file)
            image, levels = token_images.masks_on_image(learner, packed)
            picture = draw_masks(image, levels, file.name)
            out = osp.join(args.out_dir, f'{name}_masks.png')
            if not cv2.imwrite(out, picture[..., ::-1]):
                raise OSError(f'{out} cannot be written.')
            title = f'{out}, of {file}'
            inspection.show([token_learners.summary(title, levels)])
    except Exception as error:
        raise SystemExit(f'visualize_masks: {error}') from error


if __name__ == '__main__':
    main()
