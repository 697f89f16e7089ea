"""Checks of the recipes' weights at the hub for `mixtral-bot check`."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from msgspec.structs import replace

from recipes.schema import Recipe
from workers.clouds.findings import Finding
from workers.serving.hub import weights_of
from workers.serving.weights import HubQuestion, endpoint, is_offline, question_of

HUB = "hub"

_MODELS = "{models}"

MAX_MODELS = 20
"""Maximum number of models about which the hub is asked."""


def questions(environ: Mapping[str, str], recipes: Iterable[Recipe]) -> dict[str, Callable[[], list[Finding]]]:
    """One question for each model that a recipe downloads."""
    if is_offline(environ):
        return {}
    asked = {question.model: question for recipe in recipes if (question := question_of(recipe))}
    return {
        f"{HUB} {model}": partial(_found, question, environ) for model, question in list(asked.items())[:MAX_MODELS]
    }


def joined(answers: Mapping[str, list[Finding] | Exception]) -> dict[str, list[Finding] | Exception]:
    """Join the findings about models that differ by the name of the model alone."""
    others: dict[str, list[Finding] | Exception] = {}
    models: dict[Finding, list[str]] = {}
    for name, answer in answers.items():
        about, _, model = name.partition(" ")
        if about != HUB or isinstance(answer, Exception):
            others[name] = answer
            continue
        for finding in answer:
            models.setdefault(replace(finding, says=finding.says.replace(model, _MODELS)), []).append(model)
    found = [replace(one, says=one.says.replace(_MODELS, _listed(named))) for one, named in models.items()]
    return others | {HUB: found}


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _found(question: HubQuestion, environ: Mapping[str, str]) -> list[Finding]:
    """A recipe that cannot be launched does not make the installation unusable, so no finding fails the check."""
    verdict = weights_of(question, environ)
    if verdict.says:
        cause, _, mend = verdict.says.rstrip(".").partition(". ")
        return [Finding(about=HUB, what="", works=None, says=cause, mend=mend)]
    says = f"the weights of {question.model} can be downloaded from {endpoint(environ)}"
    return [Finding(about=HUB, what="", works=True, says=says)]
