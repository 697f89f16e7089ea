"""The recipes for commands: found by name, cached, and completed with the variables that the person gave."""

import re
from collections.abc import Mapping
from pathlib import Path

from bot.commands.errors import CommandError, EnvMissing, NoRecipe
from bot.language.command import MAX_NAME
from bot.language.values import shown
from bot.views.escape import code
from recipes import loader
from recipes.schema import Recipe, RecipeError


class RecipeCatalog:
    """Safe to use from several threads; a file may be read twice."""

    def __init__(self, folders: tuple[Path, ...], environ: Mapping[str, str], default: str) -> None:
        self._folders = folders
        self._environ = environ
        self.default = default
        """The name of the recipe that is used if a launch names none."""
        self._read: dict[Path, tuple[int, Recipe]] = {}

    def all(self) -> tuple[list[Recipe], list[RecipeError]]:
        """Every recipe, by name, and the errors of the files that cannot be read."""
        found: list[Recipe] = []
        broken: list[RecipeError] = []
        for name in loader.names(self._folders):
            try:
                found.append(self._load(loader.find(name, self._folders)))
            except RecipeError as error:
                broken.append(error)
        return found, broken

    def names(self) -> tuple[str, ...]:
        """The name of every recipe, sorted."""
        return loader.names(self._folders)

    def get(self, name: str | None) -> Recipe:
        """The recipe of this name, or the default one. Raises CommandError, RecipeError."""
        return self._load(self._find(name or self.default))

    def complete(self, name: str | None, env: Mapping[str, str]) -> Recipe:
        """The recipe with the given variables. Raises CommandError if one has no value or is unknown, RecipeError."""
        file = self._find(name or self.default)
        recipe = loader.load(file, self._environ, given=env) if env else self._load(file)
        for variable in env:
            _check_variable(variable, recipe, file)
        if recipe.missing_envs:
            raise EnvMissing(
                f"The recipe {recipe.name} needs a value for {', '.join(recipe.missing_envs)}.",
                missing=tuple(recipe.missing_envs),
            )
        return recipe

    def _find(self, name: str) -> Path:
        try:
            return loader.find(name, self._folders)
        except loader.NoSuchRecipe as error:
            raise NoRecipe(
                f"There is no recipe {code(shown(name))}. The recipes are {', '.join(error.known)}.",
                nearest=error.nearest,
            ) from error

    def _load(self, file: Path) -> Recipe:
        changed = file.stat().st_mtime_ns
        known = self._read.get(file)
        if known is not None and known[0] == changed:
            return known[1]
        recipe = loader.load(file, self._environ)
        self._read[file] = (changed, recipe)
        return recipe


def name_from(recipe: str) -> str:
    """A deployment's name, made from its recipe's."""
    return re.sub(r"[^a-z0-9]+", "-", recipe.lower())[:MAX_NAME].strip("-")


def _check_variable(variable: str, recipe: Recipe, file: Path) -> None:
    if variable in recipe.secrets:
        raise CommandError(
            f"{variable} is a secret of the recipe {recipe.name}, and secrets never pass through Slack. "
            "Set it in the worker's environment."
        )
    if variable in recipe.envs or re.search(rf"\$\{{?{variable}\b", file.read_text(errors="replace")):
        return
    known = sorted({*recipe.envs, *recipe.missing_envs})
    variables = f"Its variables are {', '.join(known)}." if known else "It has none."
    raise CommandError(f"The recipe {recipe.name} has no variable {variable}. {variables}")
