"""PURE: what the admins are told about the gateway."""

from typing import assert_never

from bot.slack.message import Message
from bot.views.blocks import section
from bot.views.escape import escape
from workers.deployment.gateway_notices import GatewayNotice

WARNING = "\N{WARNING SIGN}\N{VARIATION SELECTOR-16}"


def notice(told: GatewayNotice) -> Message:
    """The message to one admin: cause and consequence, then what to do."""
    match told.kind:
        case "wrong_keys":
            sentence = (
                f"*{told.number:,} requests with a wrong key came from `{escape(told.source)}`.* The gateway refused "
                "them, and answers 429 to further ones while more than 300 come within a minute. Requests with a "
                "valid key are served."
            )
            mend = (
                "If a colleague's program sends a revoked key, give it a new one (`/mixtral key NAME new`). "
                "Otherwise block the address in the firewall of the gateway's host."
            )
        case "files":
            sentence = (
                "*The gateway cannot write its files.* Keys and replicas are kept up to date in the running HAProxy. "
                "If HAProxy restarts before this is mended, it starts with the old table, in which revoked keys are "
                "valid until the gateway has corrected it."
            )
            mend = escape(told.why)
        case "absent":
            sentence = (
                "*No gateway has run for a minute, while replicas are ready.* If it started HAProxy, no endpoint "
                "answers. If HAProxy is a service of its own, it serves the table as it was: revoked keys stay "
                "valid, and replicas that are new or gone are not noticed."
            )
            mend = "Start `mixtral-bot gateway`. If it runs, its log says what it waits for."
        case _ as never:
            assert_never(never)
    return _message(sentence, mend)


def more_sources(told: int) -> Message:
    """The message to an admin who was told of so many sources of wrong keys within an hour."""
    sentence = (
        f"*Requests with wrong keys come to the gateway from more than {told} addresses within an hour.* The gateway "
        "refuses them, and serves requests with a valid key. For an hour you get no further message about them."
    )
    return _message(
        sentence,
        "The gateway's log names each address. If these are not colleagues, restrict the gateway's port in the "
        "firewall of its host.",
    )


def _message(sentence: str, mend: str) -> Message:
    text = f"{WARNING} {sentence}"
    return Message(f"{text} {mend}", (section(text), section(mend)))
