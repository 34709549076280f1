# Linear evaluation: the backbone is frozen, the last layer learns the classes.
_base_ = [
    '../_base_/models/classifier_r18-pcd-pre.py',
    '../_base_/datasets/imagenet_classes.py',
    '../_base_/schedules/linear_90e.py', 'mmdet::_base_/default_runtime.py'
]
default_hooks = dict(checkpoint=dict(interval=10, save_best='accuracy/top1'))
