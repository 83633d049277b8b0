"""A training that is killed goes on as if it had not been; ``trials/kill.py`` does the same for longer."""

from __future__ import annotations

from trials.kill import try_kills


def test_a_killed_run_loses_nothing_and_ends_as_one_that_was_not(tmp_path):
    counts = try_kills(tmp_path, kills=2, seed=0, workers=2)
    assert counts["kills"] == 2
    assert counts["of them inside the writing of a checkpoint"] >= 1
    assert counts["runs that ended with the weights of an undisturbed one"] >= 1
