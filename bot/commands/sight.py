"""Which deployments a person may see. Slack is called only if the deployment was launched in another channel."""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bot.commands.policy import UNDECIDED, UNDECIDED_SENTENCE, Permission, forbidden, may, rule_for, who_may
from bot.commands.visibility import Viewer, by_itself, everybody_reads, is_named, member_reads
from bot.language.question import Question
from bot.slack.facts import ChannelFacts, PersonFacts
from workers.api import Deployments
from workers.deployment.condition import is_ending
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment
from workers.policy.groups import USER_GROUP
from workers.policy.rules import Rule
from workers.policy.schema import Policy


class Known(Protocol):
    """The part of `bot.slack.directory.Directory` that is used here."""

    def channel(self, channel: str) -> ChannelFacts | None: ...
    def members(self, channel: str) -> frozenset[str] | None: ...
    def person(self, user: str) -> PersonFacts | None: ...
    def group(self, group: str) -> frozenset[str] | None: ...


class Sight:
    """Safe to use from several threads. A deployment is hidden while its readers are not known."""

    def __init__(self, directory: Known, admins: Collection[str], policy: Callable[[], Policy] = Policy) -> None:
        self._directory = directory
        self._admins = admins
        self._policy = policy

    def sees(self, viewer: Viewer, state: Deployment) -> bool:
        place = state.place
        return is_named(viewer, state) or self.reads(viewer, launcher=place.user, channel=place.channel)

    def reads(self, viewer: Viewer, *, launcher: str, channel: str) -> bool:
        """Whether the person may see what this launcher launched in this channel, also if its log is gone."""
        if viewer.user != launcher and not self.may_look(viewer, channel):
            return False
        known = by_itself(viewer, launcher=launcher, channel=channel, admins=self._admins)
        if known is not None:
            return known
        if everybody_reads(self._directory.channel(channel)) and not self._is_limited(viewer):
            return True
        return member_reads(self._directory.members(channel), viewer)

    def may_look(self, viewer: Viewer, channel: str) -> bool:
        """Whether the policy lets the person see what was launched in this channel, if they can read the channel."""
        return may(viewer.user, Permission.LOOK, admins=self._admins, rule=self.rule(viewer.user, channel))

    def rule(self, user: str, channel: str) -> Rule:
        """The rule of the policy that decides for a person, in the channel of a launch. Raises RedisError."""
        rules = self._policy().rules
        if not rules:
            return Rule()
        return rule_for(rules, user, channel, is_guest=self.is_guest(user), members=self._directory.group)

    def forbids(self, user: str, deed: Permission, channel: str, name: str = "") -> str:
        """Why the policy does not let a person do this, with the people who may; empty if it does.

        For deeds for which nobody has to be a co-owner. Raises RedisError.
        """
        rule = self.rule(user, channel)
        if may(user, deed, admins=self._admins, rule=rule):
            return ""
        if rule is UNDECIDED:
            return UNDECIDED_SENTENCE
        return forbidden(deed, who_may(self._policy(), deed, channel, self._admins), name=name)

    def is_public(self, state: Deployment) -> bool:
        """Whether every member of the workspace may see it; False if Slack does not answer."""
        return everybody_reads(self._directory.channel(state.place.channel))

    def of(self, viewer: Viewer, states: Iterable[Deployment]) -> list[Deployment]:
        """Return the deployments that the person may see."""
        return [state for state in states if self.sees(viewer, state)]

    def is_member(self, viewer: Viewer) -> bool:
        """Whether the viewer is a member of their channel; False if Slack does not answer."""
        return member_reads(self._directory.members(viewer.channel), viewer)

    def person(self, user: str) -> PersonFacts | None:
        """Slack's data about a person; None if Slack does not answer."""
        return self._directory.person(user)

    def people_of(self, named: str) -> tuple[str, ...]:
        """The members of a user group, or the person themselves; nobody if Slack does not list the group."""
        return tuple(sorted(self._directory.group(named) or ())) if USER_GROUP.fullmatch(named) else (named,)

    def is_guest(self, user: str) -> bool:
        """Whether Slack reports the person as a guest; False if Slack does not answer."""
        person = self._directory.person(user)
        return person is not None and person.is_guest

    def may_write_to(self, viewer: Viewer, user: str, state: Deployment) -> bool:
        """Whether the viewer may send a person a message by the bot.

        Guests and people of other companies may only if both are in the channel in which the deployment was launched.
        """
        if not self._is_limited(viewer):
            return True
        members = self._directory.members(state.place.channel)
        return members is not None and {viewer.user, user} <= members

    def zone(self, user: str) -> tzinfo:
        """The person's time zone; UTC if Slack reports none, or one that is not known here."""
        person = self.person(user)
        try:
            return ZoneInfo(person.tz) if person is not None and person.tz else UTC
        except (ZoneInfoNotFoundError, ValueError):
            return UTC

    def is_active(self, user: str) -> bool:
        """Whether a person's account is not deactivated; True if Slack does not answer."""
        person = self._directory.person(user)
        return person is None or not person.is_deleted

    def is_workspace_admin(self, user: str) -> bool:
        """Whether they administrate the workspace; False if Slack does not answer."""
        person = self._directory.person(user)
        return person is not None and person.is_admin and not person.is_deleted

    def name_of(self, user: str) -> str:
        """The name of a person; empty if Slack does not answer."""
        person = self._directory.person(user)
        return person.name if person is not None else ""

    def _is_limited(self, viewer: Viewer) -> bool:
        """Whether the person reads only the channels of which they are a member."""
        return viewer.outside or self.is_guest(viewer.user)


class Askable:
    """The deployments to which a question may be routed: those that the asker may see."""

    def __init__(self, deployments: Deployments, sight: Sight) -> None:
        self._deployments = deployments
        self._sight = sight

    def running(
        self, question: Question, before: DeploymentId | None = None, default: str | None = None
    ) -> list[Deployment]:
        """`before`: the deployment that answered in the thread. Everyone who can read the thread may ask it again.

        `default`: the name of the channel's default. Slack is not called if the question is for a deployment of its own
        channel or thread.
        """
        everything = self._deployments.all()
        viewer = _viewer(question)
        looks = self._sight.may_look(viewer, question.channel)
        near = [d for d in everything if d.id == before or (looks and d.place.channel == question.channel)]
        far = {d.name for d in everything} - {d.name for d in near}
        named = question.deployment or _first_word(question)
        if not far & {named, default} and any(not is_ending(d) for d in near):
            return near
        return [d for d in everything if d.id == before or self._sight.sees(viewer, d)]

    def forbids(self, question: Question, deployment: Deployment) -> str:
        """Why the policy does not let the asker ask this deployment; empty if it does. Raises RedisError."""
        return self._sight.forbids(question.user, Permission.ASK, deployment.place.channel, deployment.name)

    def others(self, question: Question, besides: DeploymentId) -> list[Deployment]:
        """Return the deployments that could answer instead, by name.

        In a channel, everyone reads their names below the answer: they are those that were launched there. In a direct
        message, they are those that the asker may see.
        """
        running = [d for d in self._deployments.all() if d.id != besides and not is_ending(d)]
        if question.is_direct:
            running = self._sight.of(_viewer(question), running)
        else:
            running = [d for d in running if d.place.channel == question.channel]
        return sorted(running, key=lambda d: (not d.ready, d.name))

    def ended(self, question: Question, default: str | None = None) -> frozenset[str]:
        """The first word of the question, if a deployment of this name ended recently and the asker may see it.

        Also the channel's `default`, which people of the channel know, if no deployment of this name is left.
        """
        gone = {default} - {None, *(d.name for d in self._deployments.all())}
        first = _first_word(question)
        if first in self._deployments.past_names():
            last = self._deployments.last_of(first)
            if last is not None and self._sight.sees(_viewer(question), last):
                gone.add(first)
        return frozenset(name for name in gone if name)


def _first_word(question: Question) -> str:
    """The word that may be a deployment's name."""
    words = question.text.split(maxsplit=1)
    return words[0].lower().rstrip(":") if words else ""


def _viewer(question: Question) -> Viewer:
    return Viewer(user=question.user, channel=question.channel, outside=question.outside)
