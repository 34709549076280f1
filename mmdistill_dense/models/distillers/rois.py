"""Terms on box heads: the RoIs that the student sampled."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmdistill_dense.recorders import RecorderSet

from ..hosts.rois import are_per_roi, find_rois, roi_extractor_of


class SampledRoIs:
    """Knows which RoIs the student's box heads were given.

    They come from the student's own pass, by one more recorder on the input
    of the module that pools them. Nothing of it is changed.

    Args:
        recorders: The student's.
    """

    def __init__(self, recorders: RecorderSet) -> None:
        self.recorders = recorders
        #: What pools the RoIs of a term, by its name.
        self.extractors: dict[str, str] = {}

    def add(self, student: nn.Module, term: str) -> None:
        """Record the RoIs of a term, if its rows are RoIs.

        Raises:
            ValueError: If it records several stages, each of which has
                RoIs of its own.
        """
        paths = self.recorders[term].paths
        if not are_per_roi(paths):
            return
        extractor, *others = dict.fromkeys(map(roi_extractor_of, paths))
        if others:
            raise ValueError(
                f'{", ".join(paths)} are stages of a cascade, each with '
                'RoIs of its own. Make a term of each stage.'
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
        ours = self.recorders[term].paths
        if are_per_roi(paths) != (term in self.extractors):
            raise ValueError(
                f'{", ".join(ours)} of the student and {", ".join(paths)} '
                'of the teacher cannot be compared: one gives a row per '
                'RoI, the other maps. Record modules of '
                'roi_head.bbox_head on both sides, or on none.'
            )

    def with_sources(self, terms: Sequence[str]) -> list[str]:
        """Terms, and what else must be recorded for them."""
        return [*terms, *(_key(t) for t in terms if t in self.extractors)]

    def needed_by(self, terms: Sequence[str]) -> bool:
        """Whether one of these terms needs RoIs."""
        return any(term in self.extractors for term in terms)

    def read(self, terms: Sequence[str]) -> dict[str, Tensor]:
        """RoIs (R, 5) of those terms that have them.

        Terms of one stage get one and the same tensor.
        """
        found: dict[str, Tensor] = {}
        for term in terms:
            extractor = self.extractors.get(term)
            if extractor is not None and extractor not in found:
                taken = self.recorders[_key(term)].read()
                found[extractor] = find_rois(taken)
        return {
            term: found[self.extractors[term]]
            for term in terms
            if term in self.extractors
        }


def _key(term: str) -> str:
    """A key that no term can have, as it is no identifier."""
    return f'RoIs of {term}'
