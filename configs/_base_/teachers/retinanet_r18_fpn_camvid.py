# RetinaNet R18 on CamVid, as its training leaves it.
teacher = dict(
    cfg='mmdistill_dense::camvid/retinanet_r18_fpn_camvid-240x320.py',
    checkpoint='work_dirs/retinanet_r18_fpn_camvid-240x320/iter_600.pth')
