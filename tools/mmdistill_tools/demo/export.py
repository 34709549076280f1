"""Export the distilled student, and run it in its host."""

import subprocess
import sys
from pathlib import Path

import torch
from mmengine.config import Config

from mmdistill_dense.export.student import build_student, student_checkpoint

from . import DemoError

#: Script that loads the exported student, by host.
SCRIPTS = dict(
    mmseg="""\
import sys

from mmseg.apis import inference_model, init_model

model = init_model('student.py', 'student.pth', device='cpu')
result = inference_model(model, sys.argv[1])
classes = model.dataset_meta['classes']
found = result.pred_sem_seg.data.unique().tolist()
print(', '.join(classes[index] for index in found))
""",
    mmdet="""\
import sys

from mmdet.apis import inference_detector, init_detector

model = init_detector('student.py', 'student.pth', device='cpu')
result = inference_detector(model, sys.argv[1]).pred_instances
classes = model.dataset_meta['classes']
found = result[result.scores > 0.3]
print(len(found), 'things:', ', '.join(classes[i] for i in found.labels))
""",
)


def export_student(cfg: Config, checkpoint: Path, folder: Path) -> Path:
    """Export the student: ``student.pth``, ``student.py``, ``use_student.py``.

    Args:
        cfg: The student's stock config; modified in place.
        checkpoint: Checkpoint of the run that trained it.
        folder: Output folder of the three files.

    Returns:
        The script, which imports the host only.
    """
    student = student_checkpoint(str(checkpoint))
    build_student(cfg, student['state_dict'])
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(student, folder / 'student.pth')
    cfg.model.backbone.init_cfg = None  # all weights are in the checkpoint
    cfg.pop('work_dir', None)
    cfg.dump(folder / 'student.py')
    script = folder / 'use_student.py'
    script.write_text(SCRIPTS[cfg.default_scope], encoding='utf-8')
    return script


def run_student(script: Path, image: Path) -> str:
    """Run the script of an exported student in a process of its own.

    Args:
        script: Result of :func:`export_student`.
        image: Image file.

    Returns:
        The last line of its output.

    Raises:
        DemoError: If the host cannot load or run the student.
    """
    done = subprocess.run(
        [sys.executable, script.name, str(image.resolve())],
        cwd=script.parent,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise DemoError(
            f'the exported student in {script.parent} could not be used:\n'
            + done.stderr[-2000:]
        )
    return done.stdout.splitlines()[-1]
