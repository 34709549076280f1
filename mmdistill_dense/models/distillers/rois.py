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

    def add(self, student: nn.Module, term: str) -> None:
        """Record the RoIs of a term that compares rows per RoI.

        Raises:
            ValueError: If it records several stages of a cascade, which
                have different RoIs.
        """
        paths = self.recorders[term].paths
        if not are_per_roi(paths):
            return
        extractor, *others = dict.fromkeys(map(roi_extractor_of, paths))
        if others:
            raise ValueError(
                f'{", ".join(paths)} are stages of a cascade, each with '
                'RoIs of its own. Use a term for each stage.'
            )
        self.recorders.add(student, _key(term), extractor, take='input')
        self.extractors[term] = extractor

    def check(self, term: str, paths: Sequence[str]) -> None:
        """Check that the teacher's side of a term is of the same kind.

        Args:
            term: Name of the term.
            paths: The modules that it records of the teacher.

        Raises:
            ValueError: If one side gives RoIs and the other maps.
        """
        student_paths = self.recorders[term].paths
        if are_per_roi(paths) != (term in self.extractors):
            raise ValueError(
                f'{", ".join(student_paths)} of the student and '
                f'{", ".join(paths)} of the teacher cannot be compared: one '
                'gives a row per RoI, the other maps. Record modules of '
                'roi_head.bbox_head on both sides, or on none.'
            )

    def with_sources(self, terms: Sequence[str]) -> list[str]:
        """Keys of everything to record for these terms."""
        return [*terms, *(_key(t) for t in terms if t in self.extractors)]

    def needed_by(self, terms: Sequence[str]) -> bool:
        """Whether one of these terms needs RoIs."""
        return any(term in self.extractors for term in terms)

    def read(self, terms: Sequence[str]) -> dict[str, Tensor]:
        """RoIs (R, 5) of the terms that need them.

        Terms of the same stage get the same tensor.
        """
        rois: dict[str, Tensor] = {}
        for term in terms:
            extractor = self.extractors.get(term)
            if extractor is not None and extractor not in rois:
                inputs = self.recorders[_key(term)].read()
                rois[extractor] = find_rois(inputs)
        return {
            term: rois[self.extractors[term]]
            for term in terms
            if term in self.extractors
        }


def _key(term: str) -> str:
    """A key that no term can have, as it is not an identifier."""
    return f'RoIs of {term}'
