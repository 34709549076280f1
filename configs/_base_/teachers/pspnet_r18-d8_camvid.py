# PSPNet R18-D8 on CamVid, as its training leaves it.
teacher = dict(
    cfg='mmdistill_dense::camvid/pspnet_r18-d8_camvid-128x160.py',
    checkpoint='work_dirs/pspnet_r18-d8_camvid-128x160/iter_2000.pth')
