_base_ = [
    '../_base_/models/pcd_mocov3-r50_r18.py',
    '../_base_/datasets/byol_views_imagenet.py',
    '../_base_/schedules/lars_100e.py',
    'mmdet::_base_/default_runtime.py'
]
default_hooks = dict(checkpoint=dict(interval=10))
