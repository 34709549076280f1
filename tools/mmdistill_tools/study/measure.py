"""Measure the result of a finished training."""

import math
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

from mmengine.config import Config
from mmengine.structures import BaseDataElement

from mmdistill_dense.compat import config_path
from mmdistill_dense.export.student import student_config
from mmdistill_tools.runs.logs import curve
from mmdistill_tools.runs.process_pool import STARTS_FILE, resource_usage
from mmdistill_tools.runs.provenance import collect_provenance, utc_now
from mmdistill_tools.runs.run import Run
from mmdistill_tools.runs.scores import (
    Outcome,
    evaluate,
    image_scores,
    predict_images,
)

from . import StudyError
from .plan import Entry
from .results import Result, command, json_safe

#: Outcome of a row that is not scored.
UNSCORED = Outcome({}, {}, 0, 0)


def trained_config(run: Run) -> Config:
    """The config of a run, from its work dir if it was trained."""
    if run.pretrained_checkpoint is not None:
        cfg = Config.fromfile(config_path(run.config))
        cfg.merge_from_dict(run.options)
        return cfg
    return Config.fromfile(run.folder / Path(config_path(run.config)).name)


def tested_config(run: Run) -> Config:
    """The stock config of the model that a run trains."""
    cfg = trained_config(run)
    return student_config(cfg) if 'student' in cfg.model else cfg


def outcome_of(run: Run) -> Outcome:
    """Evaluate a run's last checkpoint on its validation set."""
    with redirect_stdout(StringIO()):  # pycocotools prints a lot
        return evaluate(tested_config(run), str(run.checkpoint))


def predictions_of(
    run: Run, images: Sequence[int]
) -> tuple[list[BaseDataElement], dict]:
    """Predictions of some validation images, and the set's metainfo."""
    with redirect_stdout(StringIO()):
        return predict_images(tested_config(run), str(run.checkpoint), images)


def image_scores_of(
    run: Run, key: str, images: Sequence[int] | None = None
) -> dict[int, float]:
    """The score of validation images alone, in points, by index."""
    with redirect_stdout(StringIO()):
        return image_scores(
            tested_config(run), str(run.checkpoint), key, images
        )


def measure(entry: Entry) -> Result:
    """The result of a finished run.

    Raises:
        StudyError: If the evaluation lacks a requested score.
    """
    outcome = _outcome(entry) if entry.row.scored else UNSCORED
    run = entry.run
    usage = resource_usage(run.folder)
    trained = run.pretrained_checkpoint is None
    made_by = usage.provenance if trained else collect_provenance(1, {})
    if made_by is None:
        raise StudyError(
            f'{run.title}: {run.folder} does not say when it was '
            f'trained, {STARTS_FILE} is gone. Remove that folder.'
        )
    allocated = curve(run.folder, 'memory')[1]  # on GPUs only
    return Result(
        row=entry.row.name,
        seed=entry.seed,
        scores={k: round(v, 3) for k, v in outcome.scores.items()},
        classes=json_safe(outcome.classes),
        length=run.length if trained else 0,
        parameters=outcome.parameters,
        flops=outcome.flops,
        train_seconds=round(usage.seconds, 1),
        peak_mib=float(max(allocated)) if allocated else usage.peak_mib,
        starts=usage.starts,
        command=command(entry),
        commit=usage.commits if trained else made_by.commit,
        versions=made_by.versions,
        machine=made_by.machine,
        ended=utc_now(),
    )


def _outcome(entry: Entry) -> Outcome:
    """Evaluate a run and select the metrics of its row."""
    metrics = entry.row.metrics
    outcome = outcome_of(entry.run)
    missing = [key for key in metrics if key not in outcome.scores]
    if missing:
        raise StudyError(
            f'{entry.run.title}: its evaluation gives no '
            f'{", ".join(missing)}, only {", ".join(outcome.scores)}. Name '
            'some of these as metrics of the study.'
        )
    broken = [k for k in metrics if not math.isfinite(outcome.scores[k])]
    if broken:
        raise StudyError(
            f'{entry.run.title}: {", ".join(broken)} is no number. Its loss '
            f'may have grown without bounds; see {entry.run.log}.'
        )
    scores = {key: outcome.scores[key] for key in metrics}
    return replace(outcome, scores=scores)
