# All layers learn the classes; no paper has the schedule, it is not verified.
_base_ = [
    '../_base_/models/classifier_r18-pcd-pre.py',
    '../_base_/datasets/imagenet_classes.py',
    '../_base_/schedules/finetune_30e.py', 'mmdet::_base_/default_runtime.py'
]
model = dict(frozen=False)
train_dataloader = dict(batch_size=32)
default_hooks = dict(checkpoint=dict(interval=5, save_best='accuracy/top1'))
