"""PURE: which deployment a question is for, and whether it can answer."""

from collections.abc import Collection, Sequence
from typing import TypeAlias, assert_never

from msgspec import Struct

from bot.language.command import address as named
from bot.language.grammar import addressed, prompt_of, too_long
from bot.language.question import Question
from workers.decision.opening import opening
from workers.deployment import condition
from workers.deployment.condition import condition_of, is_asleep, is_ending
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment


class RoutedTo(Struct, frozen=True, kw_only=True):
    """The question is for this deployment."""

    deployment: Deployment
    prompt: str


class NotRouted(Struct, frozen=True, kw_only=True):
    """The question has no recipient. The sentence states why and what to do."""

    sentence: str
    choices: tuple[Deployment, ...] = ()
    """The deployments that could answer, by name."""
    why: str = "Several deployments can answer."
    """Why one of them has to be chosen."""
    prompt: str = ""
    """The question for them."""


Routing: TypeAlias = RoutedTo | NotRouted


class AnswersNow(Struct, frozen=True, kw_only=True):
    """The deployment answers at this address."""

    url: str


class HasToWait(Struct, frozen=True, kw_only=True):
    """The deployment cannot answer yet."""

    sentence: str
    wake: str | None = None
    """The endpoint where any request starts the first replica; None if none is needed."""


class HasEnded(Struct, frozen=True, kw_only=True):
    """The deployment will not answer."""

    sentence: str


Availability: TypeAlias = AnswersNow | HasToWait | HasEnded

NOTHING_RUNS = (
    "No deployment is running. Start a model with `/mixtral launch` "
    "(`/mixtral recipes` lists the recipes), and ask again: a question waits while its model starts."
)
REPEATED_LIMIT = 200
"""Maximum length in characters of a question that is repeated in a suggestion."""

NO_QUESTION = "The message contains no question. Write it after the mention: `@mixtral Name three condiments.`"


def route(
    question: Question,
    deployments: Sequence[Deployment],
    before: DeploymentId | None,
    past: Collection[str] = (),
    default: str | None = None,
) -> Routing:
    """Return the recipient of a question.

    In this order: the deployment that it names; `before`, which answered last in the thread; the channel's `default`;
    the only deployment of the channel, or the only ready one there; if the channel has none, the only one of all, or
    the only ready one. A question to an ended deployment (`past`: their names), or in its thread, is not sent to
    another one.
    """
    by_name = {d.name: d for d in deployments if d.ended is None}
    take_address = prompt_of if question.is_command else addressed
    said = take_address(question.text, by_name)
    named = question.deployment or said.deployment
    if not named and (gone := _for_one_that_ended(question, past)):
        return NotRouted(sentence=_ended(gone, sorted(by_name)))
    name, prompt = (question.deployment, question.text) if question.deployment else (said.deployment, said.text)
    if not prompt and not question.attached:
        return NotRouted(sentence=_nothing_for(name) if name else NO_QUESTION)
    if sentence := too_long(prompt):
        return NotRouted(sentence=sentence)
    if name:
        if name in by_name:
            return RoutedTo(deployment=by_name[name], prompt=prompt)
        return NotRouted(sentence=_unknown(name, sorted(by_name)))
    running = [d for d in by_name.values() if not is_ending(d)]
    if before is None and default is not None:
        if default in {d.name for d in running}:
            return RoutedTo(deployment=by_name[default], prompt=prompt)
        if default in by_name or default in past:
            why = f"{default}, the default deployment here, has ended, so the question was not sent."
            mend = "`/mixtral config` sets another default."
            return _over(_default_ended(default, why, _names(running)), running, prompt, f"{why} {mend}")
    return _unnamed(prompt, question.channel, running, before)


def _unnamed(prompt: str, channel: str, running: Sequence[Deployment], before: DeploymentId | None) -> Routing:
    theirs = [d for d in running if d.id == before]
    here = [d for d in running if d.place.channel == channel]
    if before is not None and not theirs:
        why = "The deployment that answered in this thread has ended, so the question was not sent."
        return _over(_its_answerer_ended(why, _names(running)), running, prompt, why)
    around = here or running
    for candidates in (theirs, around, [d for d in around if d.ready]):
        if len(candidates) == 1:
            return RoutedTo(deployment=candidates[0], prompt=prompt)
    if not running:
        return NotRouted(sentence=NOTHING_RUNS)
    return NotRouted(sentence=_several(_names(around), prompt), choices=_by_name(around), prompt=prompt)


def _nothing_for(name: str) -> str:
    """The sentence for a name without a question."""
    return (
        f"There is no question after {name}. Write it after the name: `/mixtral ask {named(name)} Name three "
        f"condiments.`, or in a message `@mixtral {name}: Name three condiments.`"
    )


def _for_one_that_ended(question: Question, past: Collection[str]) -> str | None:
    """Return the name with which a question begins if it is an ended deployment's, and cannot be an ordinary word."""
    first = question.text.split(maxsplit=1)[0].lower() if question.text.strip() else ""
    if first.endswith(":"):
        return first[:-1] if first[:-1] in past else None
    unlike_a_word = any(c.isdigit() or c == "-" for c in first)
    return first if question.is_command and unlike_a_word and first in past else None


def _names(running: Sequence[Deployment]) -> tuple[str, ...]:
    return tuple(d.name for d in _by_name(running))


def _by_name(running: Sequence[Deployment]) -> tuple[Deployment, ...]:
    return tuple(sorted(running, key=lambda d: d.name))


def _over(sentence: str, running: Sequence[Deployment], prompt: str, why: str) -> NotRouted:
    """The one that was meant has ended: the others are offered, and none of them is asked unchosen."""
    return NotRouted(sentence=sentence, choices=_by_name(running), why=why, prompt=prompt)


def _its_answerer_ended(why: str, names: Sequence[str]) -> str:
    if not names:
        return f"{why} {NOTHING_RUNS}"
    return f"{why} Running: {', '.join(names)}. Name the one to continue with: `{names[0]}: …`."


def _default_ended(name: str, why: str, names: Sequence[str]) -> str:
    change = "set another default with `/mixtral config`"
    if not names:
        return f"{why} Start it again with `/mixtral launch RECIPE as {name}`, or {change}."
    return f"{why} Running: {', '.join(names)}. Name one: `{names[0]}: …`, or {change}."


def _ended(name: str, names: Sequence[str]) -> str:
    others = f"Running: {', '.join(names)}." if names else "Nothing else is running."
    again = f"Start it again with `/mixtral launch RECIPE as {name}`."
    return f"{name} has ended, so the question was not sent. {others} {again}"


def _several(names: Sequence[str], prompt: str) -> str:
    again = prompt if 0 < len(prompt) <= REPEATED_LIMIT and prompt.isprintable() and "`" not in prompt else "…"
    return (
        f"Several deployments could answer: {', '.join(names)}. Name one: `@mixtral {names[0]}: {again}` "
        f"in a message, or `/mixtral ask {named(names[0])} {again}`."
    )


def _unknown(name: str, names: Sequence[str]) -> str:
    if not names:
        return f"No deployment is called {name}. {NOTHING_RUNS}"
    return f"No deployment is called {name}. Running: {', '.join(names)}."


def availability(deployment: Deployment) -> Availability:
    """Return whether a deployment can answer now, later, or not at all."""
    name = f"**{deployment.name}**"
    ended = f"{name} has ended, so this question will not be answered."
    match condition_of(deployment):
        case condition.Failed(why=why):
            return HasEnded(sentence=f"{ended} It failed: {why} {_again(deployment)}")
        case condition.Ended():
            return HasEnded(sentence=f"{ended} {_again(deployment)}")
        case condition.Ending():
            return HasEnded(
                sentence=f"{name} is shutting down, so this question will not be answered. {_again(deployment)}"
            )
        case _ if deployment.ready and deployment.endpoint is not None:
            return AnswersNow(url=deployment.endpoint.url)
        case waits:
            wake = deployment.endpoint.url if is_asleep(deployment) and deployment.endpoint else None
            doing = _paused(deployment) or _doing(deployment.name, waits, wake)
            return HasToWait(sentence=f"{name} {doing}. {_WAITS_HERE}", wake=wake)


def address(deployment: Deployment, failed: Collection[str], inside: str | None = None) -> str | None:
    """Return the gateway's address, or None if it is in `failed`. Replicas do not accept the bot's key.

    `inside`: address of the gateway for this process; None if it is the public one.
    """
    if deployment.endpoint is None:
        return None
    url = inside or deployment.endpoint.url
    return None if url in failed else url


_WAITS_HERE = "Your question waits, and is answered here as soon as the model is ready."


def _again(deployment: Deployment) -> str:
    recipe, name = deployment.recipe.name, deployment.name
    launch = f"/mixtral launch {recipe}" if recipe == name else f"/mixtral launch {recipe} as {name}"
    return f"Start it again with `{launch}`, or ask another deployment (`/mixtral status` lists them)."


def _paused(deployment: Deployment) -> str:
    """What a deployment does whose hours are over; empty if they are not."""
    opens = opening(deployment)
    now = f"`/mixtral scale {deployment.name} 1` starts a replica before"
    return f"is paused, because its hours are over, and opens {opens}; {now}" if opens else ""


def _doing(name: str, waits: condition.Running | condition.ScaledToZero, wake: str | None) -> str:
    match waits:
        case condition.ScaledToZero() if wake:
            return "had no requests and is scaled to zero; your question wakes it"
        case condition.ScaledToZero():
            return f"is scaled to zero; `/mixtral scale {name} 1` starts a replica"
        case condition.Ready() | condition.Scaling() | condition.Degraded():
            return "is waiting for the gateway to open the route"
        case condition.Abandoned(why=why):
            return f"has no replica left. {why.rstrip('.')}"
        case condition.NotReady():
            return "does not answer at the moment; a replica is being restarted or replaced"
        case condition.Starting():
            return "is starting"
        case condition.NoCapacity(dry=dry):
            return f"has not found a machine yet ({dry.why.rstrip('.')})"
        case condition.Planning() | condition.Looking():
            return "is looking for a machine"
        case _ as never:
            assert_never(never)
