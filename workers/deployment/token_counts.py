"""PURE: the tokens that replicas have processed, as the counters of their engines report them."""

from datetime import UTC, datetime

from msgspec import Struct

from workers.deployment.events import DeploymentId

Replica = tuple[DeploymentId, int]
"""A deployment, and the number of an attempt."""


class Tokens(Struct, frozen=True):
    """Numbers of tokens."""

    prompt: int = 0
    generated: int = 0

    @property
    def sum(self) -> int:
        return self.prompt + self.generated


class TokensCounted(Struct, frozen=True, kw_only=True, tag=True):
    """The tokens of a replica since its machine was made, over all starts of its engine."""

    deployment: DeploymentId
    attempt: int
    at: datetime
    prompt: int
    generated: int
    prompt_counter: int
    """What the engine's own counter showed. It begins at 0 with each start of the engine."""
    generated_counter: int


def counted(last: TokensCounted | None, replica: Replica, read: Tokens, at: datetime) -> TokensCounted:
    """The count after a reading of the engine's counters. A counter that is lower than before has begun at 0 again."""
    deployment, attempt = replica
    before = Tokens(last.prompt_counter, last.generated_counter) if last else Tokens()
    restarted = read.prompt < before.prompt or read.generated < before.generated
    base = Tokens() if restarted else before
    return TokensCounted(
        deployment=deployment,
        attempt=attempt,
        at=at,
        prompt=(last.prompt if last else 0) + read.prompt - base.prompt,
        generated=(last.generated if last else 0) + read.generated - base.generated,
        prompt_counter=read.prompt,
        generated_counter=read.generated,
    )


def book_tokens(
    entry: TokensCounted, last: dict[Replica, TokensCounted], hours: dict[tuple[DeploymentId, datetime], Tokens]
) -> None:
    """Add what an entry counts beyond the last one of its replica to the hour of the entry."""
    replica = entry.deployment, entry.attempt
    before = last.get(replica)
    if before is not None and (entry.prompt < before.prompt or entry.generated < before.generated):
        return  # an entry that is repeated
    last[replica] = entry
    prompt = entry.prompt - (before.prompt if before else 0)
    generated = entry.generated - (before.generated if before else 0)
    hour = entry.deployment, entry.at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    known = hours.get(hour, Tokens())
    hours[hour] = Tokens(known.prompt + prompt, known.generated + generated)
