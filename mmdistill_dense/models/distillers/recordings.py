"""What the terms record of both models: their maps, and extras."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from mmdistill_dense.recorders import RecorderSet

from ..hosts import expand_alias
from .classes import SIDES
from .guards import prefix_errors
from .rois import SampledRoIs
from .settings import record_cfg, split_record_cfgs


@dataclass(frozen=True)
class Recording:
    """Levels that a term records of one model or of both.

    Args:
        term: Name of the term.
        cfgs: Recording settings by side: ``path``, ``take``, ``clone``.
        extra: Its name in ``extras``; ``''``: the maps of the term.
    """

    term: str
    cfgs: Mapping[str, dict]
    extra: str = ''

    @property
    def key(self) -> str:
        """Key of its recorders; that of an extra differs from every term."""
        return f'{self.extra} of {self.term}' if self.extra else self.term


@dataclass
class Recordings:
    """All recordings, each term's maps before its extras."""

    all: list[Recording] = field(default_factory=list)
    #: Modules of the teacher that the student's map runs through, by term.
    through: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, terms: Mapping[str, Mapping]) -> 'Recordings':
        """Read them from the configs of the terms.

        Raises:
            ValueError: If ``at``, ``extras`` or ``through`` has none of the
                valid forms.
        """
        found, through = [], {}
        for name, cfg in terms.items():
            sides = split_record_cfgs(name, cfg)
            maps = dict(zip(SIDES, sides, strict=True))
            found += [Recording(name, maps), *_extras(name, cfg)]
            if 'through' in cfg:
                through[name] = _through(name, cfg)
        return cls(found, through)

    def of_term(self, term: str) -> list[Recording]:
        """Those of a term."""
        return [x for x in self.all if x.term == term]

    def keys(self, side: str, terms: Sequence[str]) -> list[str]:
        """Keys of what is recorded of one side for these terms."""
        return [x.key for x in self.all if x.term in terms and side in x.cfgs]

    def add_to_student(
        self, student: nn.Module, recorders: RecorderSet, rois: SampledRoIs
    ) -> None:
        """Add the recorders of the student.

        Raises:
            ValueError: If a module does not exist, or if maps and rows per
                RoI are mixed.
        """
        for one in self.all:
            if 'student' not in one.cfgs:
                continue
            with prefix_errors(one.term, 'student'):
                cfg = one.cfgs['student']
                path = expand_alias(cfg['path'], student)
                recorders.add(student, one.key, **{**cfg, 'path': path})
                if one.extra:
                    paths = recorders[one.key].paths
                    rois.add_extra(one.term, one.key, paths)
                else:
                    rois.add_if_per_roi(student, one.term)


def _through(term: str, cfg: Mapping) -> list[str]:
    paths = cfg['through']
    listed = isinstance(paths, (list, tuple)) and paths
    if not listed or not all(isinstance(p, str) and p for p in paths):
        raise ValueError(
            f'term {term!r}: through must be a list of module paths of the '
            "teacher, in the order in which they run, with '{level}' for the "
            f'index of its level, got {paths!r}.'
        )
    if cfg.get('classes') is not None:
        raise ValueError(
            f'term {term!r}: classes cannot be selected of a map that runs '
            'through modules of the teacher. Leave out one of the two.'
        )
    return list(paths)


def _extras(term: str, cfg: Mapping) -> Iterator[Recording]:
    extras = cfg.get('extras') or {}
    form = (
        f'term {term!r}: extras must be dict(name=dict(teacher=...)), with '
        "'student', 'teacher' or both, each a module path or dict(path=..., "
        "take='input', clone=True)"
    )
    if not isinstance(extras, Mapping):
        raise ValueError(f'{form}, got {extras!r}.')
    for name, sides in extras.items():
        valid = isinstance(sides, Mapping) and sides and set(sides) <= {*SIDES}
        if not (valid and isinstance(name, str) and name.isidentifier()):
            raise ValueError(f'{form}, got {name!r}: {sides!r}.')
        cfgs = {side: record_cfg(at, form) for side, at in sides.items()}
        yield Recording(term, cfgs, name)
