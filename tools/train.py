"""Train a model, distilled or stock, with MMEngine's Runner."""

from mmdistill_dense.engine import launch


def parse_args():
    parser = launch.base_parser('Train a distilled (or stock) model')
    parser.add_argument(
        '--amp',
        action='store_true',
        help='automatic mixed precision training',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the real batch size',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from this checkpoint; without a value, from the latest '
        'one in the work dir',
    )
    return parser.parse_args()


def main():
    args = parse_args()
    cfg = launch.load_config(args)
    if args.amp:
        launch.set_amp(cfg)
    if args.auto_scale_lr:
        launch.set_auto_scale_lr(cfg)
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    launch.build_runner(cfg).train()


if __name__ == '__main__':
    main()
