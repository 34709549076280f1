"""The formulas of claims: numbers made of what rows measured."""

from collections.abc import Callable, Sequence
from statistics import median, quantiles

from .measurements import Claim, Row, Section

MIB = 2**20


def value_of(section: Section, claim: Claim) -> float | None:
    """The number of a claim; None where there is none, as in x / 0."""
    value = KINDS[claim.kind](section, claim)
    return value if value is not None and value == value else None


def holds(section: Section, claim: Claim) -> bool | None:
    """Whether the target is met; None without a target or a number."""
    value = value_of(section, claim)
    if value is None or claim.target is None:
        return None
    if claim.at_least:
        return value >= claim.target
    return value <= claim.target


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """First and third quartile, of one value this value."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = quantiles(values, n=4, method='inclusive')
    return first, third


def spread_of(section: Section, claim: Claim) -> tuple[float, float] | None:
    """Quartiles of a time ratio taken round by round; None for others."""
    if claim.kind != 'time':
        return None
    ours, theirs = section.row(claim.of[0]), section.row(claim.over or '')
    pairs = zip(ours.seconds, theirs.seconds, strict=True)
    return quartiles([a / b for a, b in pairs])


def _time(section: Section, claim: Claim) -> float | None:
    ours, theirs = section.row(claim.of[0]), section.row(claim.over or '')
    return median(ours.seconds) / median(theirs.seconds)


def _best_time(section: Section, claim: Claim) -> float | None:
    theirs = section.row(claim.over or '')
    times = [median(section.row(name).seconds) for name in claim.of]
    return min(times) / median(theirs.seconds)


def _share(key: str) -> Callable[[Section, Claim], float | None]:
    def share(section: Section, claim: Claim) -> float | None:
        found = section.row(claim.of[0]).bytes
        return found[key] / found['feature']

    return share


def _extra_mib(section: Section, claim: Claim) -> float | None:
    return section.row(claim.of[0]).bytes['extra'] / MIB


def _bandwidth(section: Section, claim: Claim) -> float | None:
    """Share of the bandwidth of a copy."""
    ours, copy = section.row(claim.of[0]), section.row(claim.over or '')
    return _rate(ours) / _rate(copy)


def _rate(row: Row) -> float:
    return row.bytes['traffic'] / median(row.seconds)


def _above(*keys: str) -> Callable[[Section, Claim], float | None]:
    """Bytes above the base row, as a share of those of another one."""

    def total(row: Row) -> int:
        return sum(row.bytes[key] for key in keys)

    def ratio(section: Section, claim: Claim) -> float | None:
        names = claim.of[0], claim.over or '', claim.base or ''
        ours, theirs, base = (total(section.row(name)) for name in names)
        return (ours - base) / (theirs - base) if theirs > base else None

    return ratio


def time_per_element(row: Row) -> float:
    """Seconds."""
    return median(row.seconds) / row.about['elements']


def _evenness(section: Section, claim: Claim) -> float | None:
    """The largest time per element over the median of all."""
    rates = [time_per_element(section.row(name)) for name in claim.of]
    return max(rates) / median(rates)


def _against_one(section: Section, claim: Claim) -> float | None:
    """The largest time per element over that of one row."""
    rates = [time_per_element(section.row(name)) for name in claim.of]
    return max(rates) / time_per_element(section.row(claim.over or ''))


#: By the name that a claim says.
KINDS: dict[str, Callable[[Section, Claim], float | None]] = {
    'time': _time,
    'best time': _best_time,
    'extra share': _share('extra'),
    'saved share': _share('saved'),
    'extra MiB': _extra_mib,
    'bandwidth': _bandwidth,
    'peak above': _above('peak'),
    'peak and weights above': _above('peak', 'weights'),
    'evenness': _evenness,
    'against one': _against_one,
}
