_base_ = './mask-rcnn_r18-pcd-pre_fpn_ms-1x_coco.py'
max_iter = 180000
train_cfg = dict(max_iters=max_iter)
_base_.param_scheduler[1].update(end=max_iter, milestones=[120000, 160000])
