"""The study of a method and data set, and its comparisons."""

from dataclasses import dataclass, replace
from pathlib import Path

from mmdistill_dense.compat import own_config
from mmdistill_tools.runs.run import Run
from mmdistill_tools.study.definition import Row, Study, read_study
from mmdistill_tools.study.plan import Entry, plan_study
from mmdistill_tools.study.results import ResultsFile

from .settings import Settings

#: Roles that are evaluated and compared.
ROLES = ('teacher', 'student', 'distilled')
#: Title of each model, by the row prefix.
MODELS = {'pspnet': 'PSPNet', 'mask-rcnn': 'Mask R-CNN'}
#: Suffix of an option that counts iterations of the schedule.
WARMUP = '.custom_mask_warmup'


@dataclass(frozen=True)
class Comparison:
    """A student without and with distillation, and its teacher.

    Attributes:
        model: Prefix of its rows in the study.
        method: Distillation method.
        study: The study with the rows of this model only.
        entries: Entries by role: ``ROLES``, and the stages of the method.
    """

    model: str
    method: str
    study: Study
    entries: dict[str, Entry]

    @property
    def title(self) -> str:
        """Title of the model."""
        return MODELS[self.model]

    @property
    def runs(self) -> dict[str, Run]:
        """The training of each role."""
        return {role: entry.run for role, entry in self.entries.items()}

    def title_of(self, role: str) -> str:
        """Title of a role's row."""
        return self.entries[role].row.title

    @property
    def metric(self) -> str:
        """Key of the score in the host's evaluation."""
        return next(iter(self.study.metrics))

    @property
    def label(self) -> str:
        """Name of the score, which is in points (0-100)."""
        return self.study.metrics[self.metric]

    @property
    def stem(self) -> str:
        """File name prefix of this method and model."""
        return f'{self.model}_{self.method}'

    def scores(self, results: ResultsFile) -> dict[str, float]:
        """The score of each of ``ROLES``, in points."""
        scores = {}
        for role in ROLES:
            entry = self.entries[role]
            by_seed = results.by_seed(entry.row.name)
            scores[role] = by_seed[entry.seed].scores[self.metric]
        return scores


def demo_study(settings: Settings) -> Study:
    """The study with the rows of the method and their dependencies."""
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
        results=settings.work_dir / 'results.json',
    )


def comparisons(study: Study, method: str) -> list[Comparison]:
    """Comparisons of a demo study, whose runs have ended."""
    entries = plan_study(study)
    return [
        _comparison(study, model, method, entries)
        for model in MODELS
        if f'{model}/{method}' in study.rows
    ]


def skipped_models(study: Study, method: str) -> list[str]:
    """Titles of the models without a row for the method."""
    return [
        title
        for model, title in MODELS.items()
        if f'{model}/{method}' not in study.rows
    ]


def _study_name(settings: Settings) -> str:
    return 'camvid/study_camvid' if settings.data else 'demo/study_shapes'


def _row(row: Row, settings: Settings) -> Row:
    """The row with the user's seed and length."""
    warmups = {
        key: max(1, round(value * settings.length))
        for key, value in row.options.items()
        if key.endswith(WARMUP)
    }
    return replace(
        row,
        seeds=(settings.seed,),
        length=row.length * settings.length,
        options=row.options | warmups,
    )


def _comparison(
    study: Study, model: str, method: str, entries: list[Entry]
) -> Comparison:
    found = {}
    for entry in entries:
        owner, _, name = entry.row.name.partition('/')
        if owner == model:
            found['distilled' if name == method else name] = entry
    student = found['student'].row
    rows = {entry.row.name: entry.row for entry in found.values()}
    return Comparison(
        model,
        method,
        replace(
            study,
            metrics=student.metrics,
            baselines=(student.name,),
            rows=rows,
        ),
        found,
    )
