"""Terms on box heads: the RoIs that the student sampled."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmdistill_dense.recorders import RecorderSet

from ..hosts.rois import are_per_roi, find_rois, roi_extractor_of


class SampledRoIs:
    """RoIs that the student's box heads got in the current step.

    They are recorded in the student's own forward pass, at the input of the
    RoI extractor. The pass is not changed.

    Args:
        recorders: Recorders of the student.
    """

    def __init__(self, recorders: RecorderSet) -> None:
        self.recorders = recorders
        #: Path of the RoI extractor of each term.
        self.extractors: dict[str, str] = {}
        #: Terms with a recorder of their RoIs; extras have those of a term.
        self._recorded: set[str] = set()

    def add_if_per_roi(self, student: nn.Module, term_name: str) -> None:
        """Record the RoIs of a term on a box head; do nothing for other terms.

        Raises:
            ValueError: If the term records several stages of a cascade,
                which have different RoIs.
        """
        paths = self.recorders[term_name].paths
        if not are_per_roi(paths):
            return
        extractor, *others = dict.fromkeys(map(roi_extractor_of, paths))
        if others:
            raise ValueError(
                f'{", ".join(paths)} are stages of a cascade, each with '
                'RoIs of its own. Use a term for each stage.'
            )
        self.recorders.add(
            student, _roi_key(term_name), extractor, take='input'
        )
        self.extractors[term_name] = extractor
        self._recorded.add(term_name)

    def check_teacher_paths(
        self, term_name: str, paths: Sequence[str]
    ) -> None:
        """Check that the teacher's side of a term is of the same kind.

        Args:
            term_name: Name of the term.
            paths: The modules that it records of the teacher.

        Raises:
            ValueError: If one side gives RoIs and the other maps.
        """
        student_paths = self.recorders[term_name].paths
        if are_per_roi(paths) != (term_name in self.extractors):
            raise ValueError(
                f'{", ".join(student_paths)} of the student and '
                f'{", ".join(paths)} of the teacher cannot be compared: one '
                'gives a row per RoI, the other maps. Record modules of '
                'roi_head.bbox_head on both sides, or on none.'
            )

    def add_extra(
        self, term_name: str, key: str, paths: Sequence[str]
    ) -> None:
        """Give an extra the RoIs of its term, if both are per RoI.

        Args:
            term_name: Name of the term.
            key: Key of the extra.
            paths: The modules that it records of one model.

        Raises:
            ValueError: If one gives a row per RoI, and the other maps.
        """
        if are_per_roi(paths) != (term_name in self.extractors):
            raise ValueError(
                f'extras: {", ".join(paths)} cannot stand beside what the '
                'term records: one gives a row per RoI, the other maps.'
            )
        if term_name in self.extractors:
            self.extractors[key] = self.extractors[term_name]

    def recorder_keys_of(self, term_names: Sequence[str]) -> list[str]:
        """Keys of the recorders of these terms.

        Those of their features, and of their RoIs if needed.
        """
        return [
            *term_names,
            *(_roi_key(t) for t in term_names if t in self._recorded),
        ]

    def any_needs_rois(self, term_names: Sequence[str]) -> bool:
        """Whether one of these terms needs RoIs."""
        return any(name in self.extractors for name in term_names)

    def read(self, term_names: Sequence[str]) -> dict[str, Tensor]:
        """RoIs (R, 5) of the terms that need them.

        Terms of the same stage get the same tensor.
        """
        rois: dict[str, Tensor] = {}
        for term_name in term_names:
            extractor = self.extractors.get(term_name)
            if extractor is not None and extractor not in rois:
                inputs = self.recorders[_roi_key(term_name)].read()
                rois[extractor] = find_rois(inputs)
        return {
            term_name: rois[self.extractors[term_name]]
            for term_name in term_names
            if term_name in self.extractors
        }


def _roi_key(term_name: str) -> str:
    """Recorder key for the RoIs of a term.

    It contains spaces, so it differs from every term name.
    """
    return f'RoIs of {term_name}'
