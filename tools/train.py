"""Train a model, distilled or stock, with MMEngine's Runner."""

from mmdistill_tools import launch


def parse_args():
    parser = launch.train_parser('Train a distilled (or stock) model')
    return parser.parse_args()


def main():
    cfg = launch.training_config(parse_args())
    launch.build_runner(cfg).train()


if __name__ == '__main__':
    main()
