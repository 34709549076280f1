"""Which study METHOD and DATA make, and what is compared in it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmdistill_dense.compat import own_config
from mmdistill_tools.runs.run import Run
from mmdistill_tools.study.definition import Row, Study, read_study
from mmdistill_tools.study.plan import Entry, plan_study

from .settings import Settings

#: Models that are measured and compared.
ROLES = ('teacher', 'student', 'distilled')
#: Title of each model, and by its data the score below which a teacher has
#: nothing to teach, and the points that it must be above the student.
MODELS = {
    'pspnet': ('PSPNet', dict(shapes=(28, 2), camvid=(25, 2))),
    'mask-rcnn': ('Mask R-CNN', dict(shapes=(8, 1), camvid=(2, 0.5))),
}
#: Ending of an option that counts iterations of the schedule.
WARMUP = '.custom_mask_warmup'


@dataclass(frozen=True, eq=False)  # a key of dicts, with dicts in it
class Trio:
    """A teacher, and its student without and with distillation.

    Attributes:
        name: For files and folders.
        title: For tables.
        method: How the student is distilled.
        least: Score below which a teacher has nothing to teach.
        margin: Points that it must be above the undistilled student.
        rows: By role: ``ROLES``, and the stages of the method by their name.
        runs: The training of each row, by role.
    """

    name: str
    title: str
    method: str
    least: float
    margin: float
    rows: dict[str, Row]
    runs: dict[str, Run]

    def name_of(self, role: str) -> str:
        """What people read; PCD distils before the student's task."""
        pre_trained = role == 'distilled' and self.method == 'pcd'
        return 'pre-trained' if pre_trained else role

    def config_of(self, role: str) -> str:
        """Path of a role's config, below ``configs/``."""
        return self.rows[role].config.removeprefix('mmdistill_dense::')

    @property
    def metric(self) -> str:
        """Key of the score in the host's evaluation."""
        return next(iter(self.rows['student'].metrics))

    @property
    def label(self) -> str:
        """Name of the score, which is in points (0-100) everywhere."""
        return self.rows['student'].metrics[self.metric]

    @property
    def stem(self) -> str:
        """Begins the names of what shows this method on this model."""
        return f'{self.name}_{self.method}'


def demo_study(settings: Settings) -> Study:
    """The rows of the method and all that they need, in the work dir."""
    study = read_study(Path(own_config(f'{_study_name(settings)}.yaml')))
    method = settings.method
    needed = [
        f'{model}/{role}'
        for model in MODELS
        for role in ('teacher', 'student', method)
        if f'{model}/{method}' in study.rows
    ]
    for name in needed:  # grows
        needed += [n for n in study.rows[name].needs() if n not in needed]
    return replace(
        study,
        rows={
            name: _row(row, settings)
            for name, row in study.rows.items()
            if name in needed
        },
        work_dir=settings.work_dir,
    )


def plan_demo(settings: Settings) -> tuple[list[Entry], list[Trio]]:
    """All trainings in their order, and what is compared of them."""
    entries = [
        replace(entry, run=replace(entry.run, title=entry.row.title))
        for entry in plan_study(demo_study(settings))
    ]
    compared = [
        _trio(model, settings, entries)
        for model in MODELS
        if any(e.row.name == f'{model}/{settings.method}' for e in entries)
    ]
    return entries, compared


def left_out(compared: Sequence[Trio]) -> list[str]:
    """Titles of the models that the method has no part in."""
    names = [trio.name for trio in compared]
    return [title for key, (title, _) in MODELS.items() if key not in names]


def _study_name(settings: Settings) -> str:
    return 'camvid/study_camvid' if settings.data else 'demo/study_shapes'


def _row(row: Row, settings: Settings) -> Row:
    """With the user's seed and length, titled by its role."""
    model, _, name = row.name.partition('/')
    title = row.title
    if name == settings.method:
        word = 'pre-trained' if name == 'pcd' else 'distilled'
        title = f'{MODELS[model][0]} {word}'
    warmups = {
        key: max(1, round(value * settings.length))
        for key, value in row.options.items()
        if key.endswith(WARMUP)
    }
    return replace(
        row,
        title=title,
        seeds=(settings.seed,),
        length=row.length * settings.length,
        options=row.options | warmups,
    )


def _trio(model: str, settings: Settings, entries: Sequence[Entry]) -> Trio:
    found = {}
    for entry in entries:
        owner, _, name = entry.row.name.partition('/')
        if owner == model:
            role = 'distilled' if name == settings.method else name
            found[role] = entry
    title, expected = MODELS[model]
    least, margin = expected['camvid' if settings.data else 'shapes']
    return Trio(
        model,
        title,
        settings.method,
        least,
        margin,
        {role: entry.row for role, entry in found.items()},
        {role: entry.run for role, entry in found.items()},
    )
