"""PURE: what ends or pauses a deployment without a person, in a few words."""

from bot.views.amounts import duration, moment
from bot.views.escape import escape
from workers.decision.end_time import ends_at
from workers.decision.idleness import idle_ends_at
from workers.decision.opening import opens_at
from workers.deployment.condition import is_ending
from workers.deployment.state import Deployment


def clocks(state: Deployment) -> list[str]:
    """`ends today 18:00 or after 2 h without a request`; empty if only a person ends it."""
    return [f"{label.lower()} {text}" for label, text in clock_pairs(state)]


def clock_pairs(state: Deployment) -> list[tuple[str, str]]:
    """The same as labels and values, for lists of facts."""
    if is_ending(state):
        return []
    ends = [moment(end)] if (end := ends_at(state)) else []
    ends += [after_idle(state)] if state.stop_after_idle is not None else []
    pauses = [("Pauses", outside(state))] if state.hours else []
    return [*([("Ends", " or ".join(ends))] if ends else []), *pauses]


def outside(state: Deployment) -> str:
    """`outside mon-fri 09:00-19:00 Europe/Paris`, and until when it pauses or is kept from it."""
    text = f"outside {escape(state.hours)}"
    if opens := opens_at(state):
        return f"{text} (paused, opens {moment(opens)})"
    if announced := state.pause_announced:
        return f"{text} ({moment(announced.until)})"
    return text


def after_idle(state: Deployment) -> str:
    """`after 2 h without a request`; with the time of the end if it is announced."""
    text = f"after {duration(state.stop_after_idle)} without a request" if state.stop_after_idle else ""
    announced = idle_ends_at(state)
    return f"{text} ({moment(announced)}, unless one arrives)" if announced else text
