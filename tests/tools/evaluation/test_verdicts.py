"""What is said of two rows: better and worse only where the interval of the difference leaves out zero."""

import math

from animatelcm.tools.evaluation.intervals import Estimate
from animatelcm.tools.evaluation.verdicts import Judged, verdict


def test_sides_follow_from_the_sign_and_the_interval():
    line = verdict("ours", "theirs", [
        Judged("distance", -1, Estimate(-3.0, 1.0), 7.0, 10.0), Judged("motion", 1, Estimate(-0.2, 0.1), 0.7, 0.9),
        Judged("texture", 1, Estimate(0.1, 0.2), 0.8, 0.7), Judged("seams", -1, Estimate(math.nan, math.nan), 1, 1)])
    assert line == ("- **ours**, beside theirs: better: distance (7 against 10); worse: motion (0.7 against 0.9); "
                    "no difference shown: texture (0.8 against 0.7).")


def test_where_nothing_was_measured_nothing_is_said():
    assert verdict("a", "b", []) == "- **a**, beside b: nothing was measured of both."
