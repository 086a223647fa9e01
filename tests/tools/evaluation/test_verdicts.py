"""What is said of two rows: better and worse only where the interval of the difference leaves out zero."""

import math

from animatelcm.tools.evaluation.intervals import Estimate
from animatelcm.tools.evaluation.verdicts import Judged, higher, judge, lower, verdict, verdicts


def test_sides_follow_from_the_sign_and_the_interval():
    line = verdict("ours", "theirs", [
        Judged("distance", Estimate(3.0, 1.0), 7.0, 10.0), Judged("motion", Estimate(-0.2, 0.1), 0.7, 0.9),
        Judged("texture", Estimate(0.1, 0.2), 0.8, 0.7), Judged("seams", Estimate(math.nan, math.nan), 1, 1)])
    assert line == ("- **ours**, beside theirs: better: distance (7 against 10); worse: motion (0.7 against 0.9); "
                    "no difference shown: texture (0.8 against 0.7).")


def test_where_nothing_was_measured_nothing_is_said():
    assert verdict("a", "b", []) == "- **a**, beside b: nothing was measured of both."


def test_a_lead_is_of_the_same_runs_of_both():
    """What both have in common, seed by seed, is no part of its interval."""
    first, second, wanted = [2.0, 1.0, 3.0], [1.0, 0.0, 2.0], [0.0] * 3
    assert judge("any", higher, first, second, wanted) == Judged("any", Estimate(1.0, 0.0), 2.0, 1.0)
    assert judge("any", lower, first, second, wanted) == Judged("any", Estimate(-1.0, 0.0), 2.0, 1.0)


def test_it_is_said_how_many_would_come_out_by_chance():
    ten = [Judged("distance", Estimate(3.0, 1.0), 7.0, 10.0)] * 10
    assert verdicts([("a", "b", ten), ("c", "b", ten)]).endswith(
        "\n\nThese are 20 comparisons. Without any true difference, about 1 of them would still come out as better or "
        "worse.")
    assert verdicts([("a", "b", ten[:1])]) == verdict("a", "b", ten[:1])
