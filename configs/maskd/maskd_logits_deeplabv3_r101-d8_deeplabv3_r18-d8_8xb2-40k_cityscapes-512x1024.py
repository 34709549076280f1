_base_ = [
    'mmseg::deeplabv3/deeplabv3_r18-d8_4xb2-80k_cityscapes-512x1024.py',
    '../_base_/terms/maskd_seg.py'
]
token_cfg = (
    'mmdistill_dense::maskd/tokens_logits_deeplabv3_r101-d8_cityscapes-512x1024.py')
_base_.terms.maskd.loss.tokens = _base_.terms.maskd_aux.loss.tokens = (
    'work_dirs/tokens_logits_deeplabv3_r101-d8_cityscapes-512x1024/tokens.pth')
optim_wrapper = dict(optimizer=dict(lr=0.02))
train_cfg = dict(max_iters=40000)
_base_.param_scheduler[0].end = 40000
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmseg::deeplabv3/deeplabv3_r101-d8_4xb2-80k_cityscapes-512x1024.py',
        checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/deeplabv3/deeplabv3_r101-d8_512x1024_80k_cityscapes/deeplabv3_r101-d8_512x1024_80k_cityscapes_20200606_113503-9e428899.pth'),
    terms=_base_.terms)
