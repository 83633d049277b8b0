"""States of parameter schedulers as a resumed run takes them up, and the repair of those that version 0.1.0 wrote.

That version rebuilt ``MultiStepLR``'s milestones, a ``Counter`` {milestone: times}, from its pairs, as
{(milestone, times): 1}. No milestone was ever met again: every resumed run lost the decays that were still to come,
and, resumed and saved again, wrote pairs of pairs.
"""

from __future__ import annotations

import warnings
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any


def live_and_saved(live: Any, saved: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Pairs of a run's schedulers and the states for them, of one optimiser's list or of several by name."""
    if isinstance(live, dict) and isinstance(saved, dict):
        for name in live.keys() & saved.keys():
            yield from live_and_saved(live[name], saved[name])
    elif isinstance(live, list) and isinstance(saved, list):
        yield from zip(live, saved)


def without_functions(states: Any) -> Any:
    """The states less the functions that a schedule keeps, such as ``OneCycleLR``'s; a resumed one has its own."""
    if isinstance(states, dict):
        return {name: without_functions(value) for name, value in states.items() if not callable(value)}
    return [without_functions(state) for state in states] if isinstance(states, list) else states


def restore_containers(scheduler: Any, state: dict[str, Any]) -> None:
    """Give what is saved as a plain dictionary the kind that the scheduler has, such as ``Counter``."""
    for name, saved in state.items():
        own = getattr(scheduler, name, None)
        if not isinstance(own, dict) or not isinstance(saved, dict) or type(own) in (dict, OrderedDict):
            continue
        state[name] = defaultdict(own.default_factory, saved) if isinstance(own, defaultdict) else type(own)(saved)


CONSTANTS = (
    *("begin", "end", "milestones", "gamma", "step_size", "total_iters", "start_factor", "end_factor", "factor"),
    *("T_max", "eta_min", "eta_min_ratio", "power", "periods", "restart_weights", "total_steps", "_schedule_phases"),
    *("monitor", "rule", "rule_worse", "patience", "threshold", "threshold_rule", "cooldown", "min_values", "eps"),
)
"""Values of a schedule that a config says. All others tell how far it is, but for the rates of ``OneCycleLR``, which
are in the groups of the optimiser, and stay the checkpoint's."""


def take_constants(scheduler: Any, state: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Let the config's constants hold where a run goes on with others, such as more epochs.

    mmengine's schedules are restored whole, so that a run made longer would end its schedule where the shorter one did.

    A schedule that is to follow another figure, or the same the other way round, begins to look for its best anew.

    Returns:
        What differed, by name: (the checkpoint's value, the config's), without what follows from the others.
    """
    changed = {}
    for name in CONSTANTS:
        own = getattr(scheduler, name, None)
        if name in state and own != state[name]:
            changed[name] = state[name], own
            state[name] = own
    if {"monitor", "rule"} & changed.keys():
        state |= {name: getattr(scheduler, name) for name in ("best", "num_bad_epochs", "cooldown_counter")}
    return {name: pair for name, pair in changed.items() if name not in ("_schedule_phases", "rule_worse")}


def repair_milestones(state: dict[str, Any]) -> int:
    """Turn milestones that version 0.1.0 wrote into those that were meant.

    Returns:
        How often they had been rebuilt: 0 of a whole state, 1 of an uninterrupted run's, more of a resumed run's, which
        ran without its decays.
    """
    milestones, times = state.get("milestones"), 0
    while isinstance(milestones, dict) and milestones and all(isinstance(key, tuple) for key in milestones):
        milestones, times = Counter(dict(milestones.keys())), times + 1
    if times:
        state["milestones"] = milestones
    return times


def replay(schedulers: Sequence[Any], steps: int, epoch_steps: int) -> None:
    """Take schedules that stand at their beginning to where a run that always had them stands after so many steps.

    Values of a schedule follow from the ones before, and of several together have no closed form: each step is made.

    Args:
        schedulers: of mmengine, freshly built; they and the values in their optimiser's groups change.
        steps: of the run.
        epoch_steps: steps of an epoch.
    """
    by_step = [each for each in schedulers if not each.by_epoch]
    by_epoch = [each for each in schedulers if each.by_epoch]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimiser made no step
        for step in range(1, steps + 1):
            for scheduler in by_step if step % epoch_steps else (*by_step, *by_epoch):
                scheduler.step()
