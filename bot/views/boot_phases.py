"""PURE: the boot of a machine as text: a line for each phase, with a bar where the machine counts bytes."""

from datetime import datetime

from bot.views.amounts import duration, size
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.boot_stages import Stage
from workers.machines import BootPhase

NAMES = {
    BootPhase.BOOTING: "boot",
    BootPhase.INSTALLING: "installation",
    BootPhase.PULLING: "container image",
    BootPhase.LOADING: "engine",
}

USUALLY = {
    BootPhase.BOOTING: "usually 3 to 5 min",
    BootPhase.INSTALLING: "usually 1 to 3 min for Docker",
    BootPhase.PULLING: "usually 4 to 6 min",
    BootPhase.LOADING: "usually 3 to 12 min, most of it for the weights",
}
"""Estimates for Mixtral 8x7B on eight A100, from public reports and the sizes of image and weights; not measured."""

ALL = 100  # percent
BAR = 10
"""Length of a bar, in characters."""


def lines(attempt: Attempt, now: datetime) -> tuple[str, ...]:
    """A line for each phase that a starting machine has reported; none if it reports none."""
    if attempt.phase is not Phase.STARTING or not attempt.boot:
        return ()
    *over, last = attempt.boot
    done = [
        f"\N{CHECK MARK} {NAMES[a.phase]}: {duration(b.since - a.since)}"
        for a, b in zip(over, attempt.boot[1:], strict=True)
    ]
    return (*done, f"\N{BLACK RIGHT-POINTING SMALL TRIANGLE} {NAMES[last.phase]}: {_present(last, now)}")


def now_at(attempt: Attempt) -> str:
    """`container image 62 %`; empty if the machine reports no phase."""
    if attempt.phase is not Phase.STARTING or not attempt.boot:
        return ""
    last = attempt.boot[-1]
    return NAMES[last.phase] + (f" {last.percent} %" if last.percent is not None else "")


def _present(stage: Stage, now: datetime) -> str:
    so_far = f"{duration(now - stage.since)} so far"
    what = "weights " if stage.phase is BootPhase.LOADING else ""
    if stage.percent is not None and stage.percent < ALL:
        full = stage.percent * BAR // ALL
        bar = "\N{BLACK PARALLELOGRAM}" * full + "\N{WHITE PARALLELOGRAM}" * (BAR - full)
        return f"{what}{bar} {stage.percent} % of {size(stage.total)}, {so_far}"
    if stage.total == 0 and stage.done:
        return f"{what}{size(stage.done)}, {so_far}"
    if stage.percent is not None and stage.phase is BootPhase.LOADING:
        return f"{size(stage.total)} of weights are on the machine, {so_far}"
    return f"{so_far}, {USUALLY[stage.phase]}"
