"""Checks of the recipes' weights at the hub for `mixtral-bot check`."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from recipes.schema import Recipe
from workers.clouds.findings import Finding
from workers.serving.hub import weights_of
from workers.serving.weights import HubQuestion, endpoint, is_offline, question_of

HUB = "hub"

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


def _found(question: HubQuestion, environ: Mapping[str, str]) -> list[Finding]:
    """A recipe that cannot be launched does not make the installation unusable, so no finding fails the check."""
    verdict = weights_of(question, environ)
    if verdict.says:
        cause, _, mend = verdict.says.rstrip(".").partition(". ")
        return [Finding(about=HUB, what="", works=None, says=cause, mend=mend)]
    says = f"the weights of {question.model} can be downloaded from {endpoint(environ)}"
    return [Finding(about=HUB, what="", works=True, says=says)]
