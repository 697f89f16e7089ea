"""PURE: how to reach a deployment: in the channel without a key, to the launcher with the key."""

import json
from collections.abc import Sequence

from bot.slack.message import Message
from bot.views.blocks import Block, context, section
from bot.views.escape import code, escape
from bot.views.words import model, title, user
from workers.deployment.condition import is_ending
from workers.deployment.events import FIRST_KEY, KeyId
from workers.deployment.state import Deployment

PLACEHOLDER = "$MIXTRAL_KEY"
QUESTION = "Name three condiments."

NOT_ENFORCED = (
    "\N{WARNING SIGN}\ufe0f *A replica answers without a key.* Anyone who can reach its port can use it. "
    "Change the recipe's `run` to take the key from the environment variable `VLLM_API_KEY`, and launch it again. "
    "vLLM reads that variable by default; on a command line, every user of the machine could read the key."
)


def base_url(deployment: Deployment) -> str:
    """`http://host:port/v1`; empty until the endpoint is published."""
    return f"{deployment.endpoint.url.rstrip('/')}/v1" if deployment.endpoint else ""


def served_name(deployment: Deployment) -> str:
    """The value of `model` in requests: the deployment's name if the engine serves it, else the model's."""
    served = next((a.request.boot.served_names for a in deployment.attempts if a.machine), ())
    by_name = deployment.recipe.engine is not None and deployment.name in served
    return deployment.name if by_name else model(deployment) or deployment.name


def curl(deployment: Deployment, key: str) -> str:
    """A complete command with `key`, for a shell, of few lines that a narrow screen shows whole."""
    model_name = json.dumps(served_name(deployment)).replace("'", r"'\''")
    return (
        f"curl {base_url(deployment)}/chat/completions \\\n"
        f'  -H "Authorization: Bearer {key}" \\\n'
        f'  -H "Content-Type: application/json" \\\n'
        f'  -d \'{{"model": {model_name}, "messages":\n'
        f'       [{{"role": "user", "content": "{QUESTION}"}}]}}\''
    )


def on_card(deployment: Deployment, *, whole: bool) -> tuple[Block, ...]:
    """The endpoint without a key, for the channel. `whole`: with a command."""
    url = f"*Base URL*  {code(base_url(deployment))}"
    if deployment.key_not_enforced:
        return section(url), section(NOT_ENFORCED)
    if not whole:
        return (section(url),)
    return (section(f"{url} \N{MIDDLE DOT} {_key(deployment)}\n{_fenced(curl(deployment, PLACEHOLDER))}"),)


def _key(deployment: Deployment) -> str:
    """How to get a key."""
    if has_first_key(deployment):
        return f"press *Endpoint* for {code(PLACEHOLDER)}"
    return f"the first key was revoked, `/mixtral key {escape(deployment.name)} new` makes another"


def _fenced(command: str) -> str:
    return f"```\n{escape(command)}\n```"


def has_first_key(deployment: Deployment) -> bool:
    """Whether the launcher's first key is still valid."""
    return any(key.id == FIRST_KEY for key in deployment.keys)


def endpoint(deployment: Deployment, key: str | None, *, python: bool = False) -> Message:
    """Address, key and an example, for one person; never for a channel.

    `python` adds an example in Python. A message that was not requested leaves it out, so that it stays short.
    """
    name = escape(deployment.name)
    if is_ending(deployment):
        sentence = f"{name} has ended: its endpoint is closed and its keys are destroyed."
        return Message(sentence, (section(sentence),))
    if deployment.endpoint is None:
        sentence = f"{escape(title(deployment))}: it has no endpoint yet. The card shows the endpoint when it exists."
        return Message(sentence, (section(sentence),))
    url = base_url(deployment)
    if key is None:
        sentence = (
            f"*{name}* answers at {code(url)}. Its first key was revoked: `/mixtral key {name} new` makes another, "
            f"`/mixtral key {name} list` shows the keys and their owners."
        )
        return Message(sentence, (section(sentence),))
    answers = "answers at" if deployment.ready else "has no replica that answers now; its address stays"
    blocks = [
        section(f"*{name}* {answers} {code(url)}\nIts key: {code(key)}"),
        section(f"```\n{escape(curl(deployment, key))}\n```"),
    ]
    if python:
        blocks.append(section(f"With the OpenAI library for Python:\n```\n{escape(_python(deployment, key))}\n```"))
    blocks.append(
        context(
            f"Anyone who has this key can use {name} until it ends. Do not share it: "
            f"`/mixtral key {name} new @PERSON` makes another, which can be revoked separately."
        )
    )
    if deployment.key_not_enforced:
        blocks.append(section(NOT_ENFORCED))
    return Message(f"{name} answers at {url}. Its key is below.", tuple(blocks))


def held(deployment: Deployment, keys: Sequence[KeyId]) -> Message:
    """For a person who may not see the launcher's key, and has keys of their own, which were shown once."""
    name, which = escape(deployment.name), " and ".join(code(key) for key in keys)
    have = f"You have {'a key' if len(keys) == 1 else 'keys'} to it: {which}."
    sentence = f"*{name}* answers at {code(base_url(deployment))}. {have}"
    lost = (
        f"{code(PLACEHOLDER)} is your key, which was shown to you once. If you lost it, "
        f"{user(deployment.place.user)} can make another: `/mixtral key {name} new @YOU`."
    )
    shown = section(f"```\n{escape(curl(deployment, PLACEHOLDER))}\n```")
    return Message(sentence, (section(sentence), shown, context(lost)))


def _python(deployment: Deployment, key: str) -> str:
    return (
        "from openai import OpenAI\n\n"
        "client = OpenAI(\n"
        f'    base_url="{base_url(deployment)}",\n'
        f'    api_key="{key}",\n'
        ")\n"
        "answer = client.chat.completions.create(\n"
        f'    model="{served_name(deployment)}",\n'
        f'    messages=[{{"role": "user", "content": "{QUESTION}"}}],\n'
        ")\n"
        "print(answer.choices[0].message.content)"
    )
