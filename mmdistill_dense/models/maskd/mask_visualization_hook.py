"""Draws the masks of receptive tokens during their training."""

from collections.abc import Sequence
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdistill_dense.functional.checks import check_int
from mmdistill_dense.registry import HOOKS

from ..utils import bare_model, forked_rng
from . import token_images


@HOOKS.register_module()
class MaskVisualizationHook(Hook):
    """Draw the mask of every token on fixed images (MasKD, stage 1).

    Every ``interval`` iterations, and after the last one, each image becomes
    one picture, ``masks_<name>``, in every visualization backend: a file in
    ``vis_data/vis_image`` of the run, or an image in TensorBoard. Training
    is not changed. With several processes the first one draws.

    Args:
        interval: Iterations between two drawings, at least 1.
        images: How many of the first validation images are drawn, or paths
            of images, which the test pipeline of the config reads.

    Raises:
        ValueError: If an argument is none of these, the model learns no
            tokens, or ``images`` is a number and the run has no validation
            set.
    """

    priority = 'LOW'

    def __init__(
        self, interval: int = 500, images: int | Sequence[str] = 2
    ) -> None:
        check_int('MaskVisualizationHook: interval', interval, 1)
        self.interval = interval
        self.images = _check_images(images)
        self._shown: dict[str, dict] = {}

    def before_train(self, runner: Runner) -> None:
        model = bare_model(runner)
        if not hasattr(model, 'token_masks'):
            raise ValueError(
                f'MaskVisualizationHook: {type(model).__name__} learns no '
                'tokens. Remove the hook from custom_hooks, or build the '
                "model with type='mmdistill_dense.MaskTokenLearner', as "
                'stage 1 of MasKD does.'
            )
        if is_main_process():
            with forked_rng():
                self._shown = self._load_images(runner)

    def after_train_iter(self, runner: Runner, *args: Any, **kw: Any) -> None:
        due = self.every_n_train_iters(runner, self.interval)
        if not self._shown or not (due or self.is_last_train_iter(runner)):
            return
        # It imports matplotlib, which a run without drawings does not need.
        from .token_pictures import draw_masks

        step = runner.iter + 1
        with forked_rng():
            for name, packed in self._shown.items():
                image, levels = token_images.masks_on_image(
                    bare_model(runner), packed
                )
                picture = draw_masks(
                    image, levels, f'{name}, iteration {step}'
                )
                runner.visualizer.add_image(f'masks_{name}', picture, step)

    def _load_images(self, runner: Runner) -> dict[str, dict]:
        """Images to draw, by name, in the form the preprocessor takes."""
        if isinstance(self.images, int):
            images_read = _first_items(runner, self.images)
            paths = [item['data_samples'].img_path for item in images_read]
        else:
            paths = token_images.image_files(self.images)
            pipeline = token_images.test_pipeline(runner.cfg)
            images_read = [token_images.read_image(pipeline, p) for p in paths]
        names = token_images.picture_names(paths)
        return dict(zip(names, images_read, strict=True))


def _check_images(images: int | Sequence[str]) -> int | list[str]:
    if isinstance(images, (list, tuple)) and images:
        return list(images)
    what = 'MaskVisualizationHook: images, unless a list of paths,'
    check_int(what, images, 1)
    return images


def _first_items(runner: Runner, count: int) -> list[dict]:
    if runner.val_loop is None:
        raise ValueError(
            f'MaskVisualizationHook: images={count} are the first ones of '
            'the validation set, but the run has none. Give '
            "images=['a.jpg', ...], or a val_dataloader."
        )
    data = runner.val_loop.dataloader.dataset
    return [data[i] for i in range(min(count, len(data)))]
