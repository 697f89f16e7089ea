"""PURE: whether a recipe's weights can be downloaded from the hub: what is asked, and what the answer means."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import assert_never

from msgspec import Struct

from recipes.quantities import VARIABLE
from recipes.schema import Recipe
from workers.serving.boot import boot_of
from workers.settings_table import DEFAULTS

HUB_TOKEN = "HF_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variable with the token for gated and private models of the hub."""

ENDPOINT = "HF_ENDPOINT"
OFFLINE = "HF_HUB_OFFLINE"
ELSEWHERE = (ENDPOINT, OFFLINE, "VLLM_USE_MODELSCOPE", "TRANSFORMERS_OFFLINE")
"""Variables of a recipe with which its engine takes the weights from somewhere else."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
"""`OWNER/NAME`: a model on the hub. Paths and addresses of buckets do not match."""

PASSED = re.compile(r"""(?:--model(?:-path|-id)?(?:\s+|=)|\bserve\s+)["']?([^\s"']+)""")
"""The model in the command line of vLLM, SGLang or Text Generation Inference."""

SET_TOKEN = f"set {HUB_TOKEN} where `mixtral-bot worker` runs (never in a channel), and restart it; then launch again"

FALSE = ("", "0", "false", "no", "off")


class Access(StrEnum):
    """The hub's answer about one model."""

    OPEN = "open"
    GATED = "gated"  # the conditions have to be accepted, and no token was sent
    CLOSED = "closed to the token"  # gated or private, and the token does not open it
    BAD_TOKEN = "bad token"  # noqa: S105 - the hub knows no such token
    MISSING = "missing"  # there is no such model, or it is private
    UNKNOWN = "unknown"  # the hub gave no answer, or no useful one


class HubQuestion(Struct, frozen=True, kw_only=True):
    """What the hub is asked about a recipe."""

    model: str
    certain: bool
    """Whether the model is passed to a server. Otherwise only the readiness probe names it: the weights may differ."""
    script: bool
    """Whether a script passes it: `OWNER/NAME` may then be a folder on the machine."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What is reported about the weights."""

    model: str
    refused: bool
    """Whether a machine would be paid for an engine that cannot start."""
    says: str
    """One or two sentences with the remedy; empty if the weights can be downloaded."""


def question_of(recipe: Recipe) -> HubQuestion | None:
    """The question for the hub; None if the weights come from elsewhere, or the model is not known."""
    boot = boot_of(recipe, recipe.name)
    if boot.kind not in ("vllm", "script") or any(name in recipe.envs for name in ELSEWHERE):
        return None
    vllm = boot.kind == "vllm"
    passed = None if vllm else _passed(boot.run, recipe.envs)
    model = passed or boot.model
    if not HUB_ID.fullmatch(model):
        return None
    return HubQuestion(model=model, certain=vllm or passed is not None, script=not vllm)


def token_reaches(recipe: Recipe) -> bool:
    """Whether a replica gets HF_TOKEN, if the worker has one: its recipe names it, or downloads from the hub."""
    return HUB_TOKEN in recipe.secrets or question_of(recipe) is not None


def is_offline(environ: Mapping[str, str]) -> bool:
    """Whether the hub is not to be asked."""
    return environ.get(OFFLINE, "").strip().lower() not in FALSE


def _passed(run: str, envs: Mapping[str, str]) -> str | None:
    """The first model of the hub that a script passes to a server; None if there is none."""
    text = VARIABLE.sub(lambda found: envs.get(found[1] or found[2], ""), run)
    return next((found[1] for found in PASSED.finditer(text) if HUB_ID.fullmatch(found[1])), None)


def endpoint(environ: Mapping[str, str]) -> str:
    """The address of the hub, without a slash at its end."""
    return environ.get(ENDPOINT, "").strip().rstrip("/") or DEFAULTS[ENDPOINT]


def verdict(question: HubQuestion, access: Access, hub: str, why: str = "") -> Verdict:
    """The consequence of the hub's answer. `hub`: its address; `why`: why it gave no useful answer, as a clause."""
    model, at = question.model, hub.partition("://")[2] or hub
    page = f"{hub}/{model}"
    match access:
        case Access.OPEN:
            return Verdict(model=model, refused=False, says="")
        case Access.UNKNOWN:
            says = f"The download of the weights of {model} could not be checked: {at} {why}."
            return Verdict(model=model, refused=False, says=says)
        case Access.MISSING:
            says = (
                f"{at} has no model {model}, or it is private. Correct the name in the recipe; for a private model, "
                f"{SET_TOKEN}."
            )
            return Verdict(model=model, refused=not question.script, says=says)
        case Access.GATED:
            says = (
                f"The weights of {model} are gated at {at}, and the worker has no {HUB_TOKEN}. Accept the "
                f"model's conditions at {page}, and {SET_TOKEN}."
            )
        case Access.CLOSED:
            says = (
                f"The weights of {model} are gated at {at}, and {HUB_TOKEN} does not open them. Accept the model's "
                f"conditions at {page} with the account of the token; a fine-grained token also needs the permission "
                "to read gated repositories. Then launch again."
            )
        case Access.BAD_TOKEN:
            says = (
                f"{at} rejects {HUB_TOKEN} as invalid, and with it every download. Create a token with read access at "
                f"{hub}/settings/tokens, and {SET_TOKEN}; or remove {HUB_TOKEN} there."
            )
        case _:
            assert_never(access)
    return Verdict(model=model, refused=question.certain, says=says)
