"""What a stored number stands for: a share of images is a fraction, of which a float keeps the nearest."""

from fractions import Fraction
from math import isclose

MOST = 1_000_000  # of what is counted; fractions of so many are at least 1e-12 apart, and a percentage's rounding
ROUNDING = 4e-15  # and that of a sum over a test set, relative, is less than half of it


def exact(value: float) -> Fraction:
    """Return a percentage as the share that was counted, and any other number as it is.

    Equal counts give equal fractions, whatever they are added up to, and in whatever order. Raises ValueError or
    OverflowError for what is not finite.
    """
    share = Fraction(value).limit_denominator(MOST)
    return share if isclose(share, value, rel_tol=ROUNDING) else Fraction(value)
