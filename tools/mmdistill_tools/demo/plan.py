"""From what the user asked for to the runs that make it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mmengine.config import Config

from mmdistill_dense.compat import own_config
from mmdistill_dense.export.student import student_config
from mmdistill_tools.runs.runs import Run
from mmdistill_tools.runs.schedule import length_options
from mmdistill_tools.two_stages import token_losses

from .studies import CAMVID, SHAPES, STAGES, Options, Study


@dataclass(frozen=True)
class Settings:
    """What the user asked for.

    Attributes:
        work_dir: Gets everything.
        data: CamVid, or None for the embedded data set.
        seed: Of the trainings.
        length: Factor on all iterations.
        method: One of ``METHODS``.
    """

    work_dir: Path
    data: Path | None = None
    seed: int = 0
    length: float = 1.0
    method: str = 'cwd'

    @property
    def studies(self) -> tuple[Study, ...]:
        """What is trained."""
        return tuple(
            replace(study, method=self.method)
            for study in self._all_studies()
            if self.method in study.configs
        )

    @property
    def left_out(self) -> tuple[Study, ...]:
        """What the method has no part in."""
        found = self._all_studies()
        return tuple(s for s in found if self.method not in s.configs)

    def _all_studies(self) -> tuple[Study, ...]:
        return CAMVID if self.data else SHAPES

    @property
    def pictures(self) -> Path:
        """Where the data set is."""
        return self.data or self.work_dir / 'data'

    def environment(self) -> dict[str, str]:
        """Where the configs find the data."""
        name = 'CAMVID_ROOT' if self.data else 'SHAPES_ROOT'
        return {name: f'{self.pictures.resolve().as_posix()}/'}


def plan_all(settings: Settings) -> dict[Study, dict[str, Run]]:
    """The runs of every study by role."""
    plans: dict[Study, dict[str, Run]] = {}
    named: dict[str, dict[str, Run]] = {}
    for study in settings.studies:
        named[study.name] = plan(study, settings, named.get(study.start, {}))
        plans[study] = named[study.name]
    return plans


def plan(
    study: Study, settings: Settings, earlier: Mapping[str, Run]
) -> dict[str, Run]:
    """The runs of a study by role; some await the end of others.

    Args:
        earlier: Runs by role that backbones are taken from, if any.
    """
    runs: dict[str, Run] = {}
    for role, name in study.roles():
        path = own_config(name)
        cfg = Config.fromfile(path)
        factor = study.length * settings.length
        options: dict[str, object] = {
            **length_options(cfg, factor),
            **_model_options(study, role),
            'randomness.seed': settings.seed,
            # A detector that finds nothing has no score to be the best of.
            'default_hooks.checkpoint.save_best': None,
        }
        after = _hand_on(study, role, cfg, runs, options)
        _shorten_warmup(cfg, factor, options)
        if earlier and role != 'tokens':  # the teacher is all these have
            source = earlier['teacher' if role == 'teacher' else 'student']
            after.append(source.checkpoint)
            options |= _backbone_options(cfg, source.checkpoint)
        runs[role] = Run(
            title=f'{study.title} {study.called(role)}',
            config=path,
            folder=settings.work_dir / study.name / study.of(role),
            length=options['train_cfg.max_iters'],
            options=options,
            metric=study.metric_of(role),
            after=tuple(after),
        )
    return runs


def _hand_on(
    study: Study,
    role: str,
    cfg: Config,
    runs: Mapping[str, Run],
    options: dict,
) -> list[Path]:
    """Let a run learn from earlier ones; returns what it awaits of them."""
    if role in STAGES.get(study.method, ()):
        # They are short, and their first steps tell most.
        options['default_hooks.logger.interval'] = 1
    if study.method == 'pcd':
        return _hand_on_pcd(role, cfg, runs, options)
    if role not in ('tokens', 'distilled'):
        return []
    teacher = runs['teacher'].checkpoint
    options['model.teacher.checkpoint'] = teacher
    if role == 'tokens' or 'tokens' not in runs:
        return [teacher]
    # The checkpoint of stage 1: it is there when the run has ended.
    tokens = runs['tokens'].checkpoint
    for name, _ in token_losses(cfg):
        options[f'model.terms.{name}.loss.tokens'] = tokens
    return [teacher, tokens]


def _hand_on_pcd(
    role: str, cfg: Config, runs: Mapping[str, Run], options: dict
) -> list[Path]:
    """Teacher, its head, a backbone, the student: each from the one before."""
    before = dict(
        contrast='teacher', pretraining='contrast', distilled='pretraining'
    )
    if role not in before:
        return []
    source = runs[before[role]].checkpoint
    if role == 'pretraining':
        options['model.teacher.checkpoint'] = source
    else:
        options |= _backbone_options(cfg, source)
    return [source]


def _shorten_warmup(cfg: Config, factor: float, options: dict) -> None:
    """Count the iterations that a loss knows of as the schedule's."""
    for name, term in token_losses(cfg):
        warmup = term.loss.get('custom_mask_warmup')
        if warmup:
            place = f'model.terms.{name}.loss.custom_mask_warmup'
            options[place] = max(1, round(warmup * factor))


def model_config(study: Study, role: str) -> Config:
    """The config of a role, with the study's own settings in it."""
    cfg = Config.fromfile(own_config(dict(study.roles())[role]))
    cfg.merge_from_dict(_model_options(study, role))
    return cfg


def stock_config(study: Study, role: str) -> Config:
    """The same without distillation, as its host knows it."""
    cfg = model_config(study, role)
    return student_config(cfg) if 'student' in cfg.model else cfg


def _model_options(study: Study, role: str) -> dict[str, object]:
    """The study's own settings, for both sides of a distilled model."""
    if role == 'distilled' and study.method == 'pcd':
        role = 'student'  # it differs in where it starts from
    places = dict(
        teacher={'model': study.teacher},
        student={'model': study.student},
        tokens={'model.teacher.cfg_options.model': study.teacher},
        contrast={'model': _of_backbone(study.teacher)},
        pretraining={
            'model': _of_backbone(study.student),
            'model.teacher': _of_backbone(study.teacher),
        },
        distilled={
            'model.student': study.student,
            'model.teacher.cfg_options.model': study.teacher,
        },
    )[role]
    return {
        f'{place}.{key}': value
        for place, options in places.items()
        for key, value in options
    }


def _of_backbone(options: Options) -> Options:
    """A pre-training has no heads for the task."""
    return tuple(o for o in options if o[0].startswith('backbone.'))


def _backbone_options(cfg: Config, checkpoint: Path) -> dict[str, object]:
    """Start from the backbone of a trained model of the same width."""
    owner = 'model.student' if 'student' in cfg.model else 'model'
    place = f'{owner}.backbone.init_cfg'
    return {
        f'{place}._delete_': True,  # what is there may be None
        f'{place}.type': 'Pretrained',
        f'{place}.prefix': 'backbone.',
        f'{place}.checkpoint': checkpoint,
    }
