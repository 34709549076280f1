"""SegTTAModel around a distilled student."""

from copy import deepcopy

import cv2
import torch
from mmengine.hooks import Hook
from mmengine.registry import MODELS

from ..helpers.models import cwd, pspnet
from ..helpers.runs import (
    distilled,
    runner,
    validation,
)

FLIPS = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale_factor=r, keep_ratio=True)
                for r in (0.75, 1.0)
            ],
            [
                dict(type='RandomFlip', prob=p, direction='horizontal')
                for p in (0.0, 1.0)
            ],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]


class Predictions(Hook):
    priority = 'VERY_LOW'

    def __init__(self):
        self.labels = []

    def after_test_iter(self, runner, batch_idx, data_batch, outputs):
        self.labels += [out.pred_sem_seg.data.clone() for out in outputs]


def predict(model, data, folder, checkpoint):
    """Predictions and metrics of a test with four views of each image."""
    seen = Predictions()
    settings = validation('mmseg', data, 'test')
    settings['test_dataloader']['dataset']['pipeline'] = FLIPS
    run = runner(
        dict(type='SegTTAModel', module=model),
        data,
        folder,
        iters=1,
        load_from=checkpoint,
        hooks=[seen],
        **settings,
    )
    metrics = run.test()
    return torch.stack(seen.labels), metrics


def save_undecided(student, data, path):
    """Weights with which no class wins everywhere."""
    images = [
        torch.from_numpy(cv2.imread(str(file))).permute(2, 0, 1)
        for file in sorted((data / 'images').iterdir())
    ]
    batch = student.data_preprocessor(dict(inputs=images))['inputs']
    classifier = student.decode_head.conv_seg
    torch.nn.init.normal_(classifier.weight)
    student.eval()
    with torch.no_grad():
        logits = student(batch, mode='tensor')
        classifier.bias -= logits.mean((0, 2, 3))
    torch.save(dict(state_dict=student.state_dict()), path)


def test_test_time_augmentation_gives_what_the_stock_model_gives(
    data, seg_teacher, tmp_path, capsys
):
    teacher = dict(seg_teacher)
    model = distilled(pspnet(), teacher, dict(kd=cwd('backbone')))
    checkpoint = str(tmp_path / 'student.pth')
    save_undecided(MODELS.build(deepcopy(model)), data, checkpoint)
    # A test needs no teacher file.
    teacher['checkpoint'] = str(tmp_path / 'moved_away.pth')
    result, metrics = predict(model, data, tmp_path / 'distilled', checkpoint)
    stock, expected = predict(pspnet(), data, tmp_path / 'stock', checkpoint)
    assert torch.equal(result, stock)
    assert len(result.unique()) > 1
    assert metrics == expected
    # MMEngine prints this; the log file does not have it.
    printed = capsys.readouterr().out
    unexpected = printed.split('unexpected key in source state_dict: ')[1]
    names = unexpected.splitlines()[0].split(', ')
    assert len(names) == 8
    assert all(name.startswith('distill.') for name in names)
