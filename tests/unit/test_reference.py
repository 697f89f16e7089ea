"""docs/reference is up to date: each page is compared with a newly generated one."""

import ast
from typing import get_args

import pytest

from bot.cli.__main__ import main
from bot.language.command import USAGES
from bot.views.help import ENTRIES
from tests.reference import cases, commands, events, settings
from tests.reference.pages import FOLDER, pages, stale
from tests.reference.redis_keys import KEYS
from tests.reference.source import ROOT
from workers.deployment.events import AnyEvent
from workers.settings import from_environ

CONTRACT = {
    *("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET", "PORT", "SLACK_API_URL"),
    *("REDIS_URL", "MIXTRAL_HOME", "MIXTRAL_INSTALLATION", "MIXTRAL_LEASE"),
    *("AWS_ENDPOINT_URL", "GOOGLE_CLOUD_PROJECT", "MIXTRAL_GCE_ENDPOINT"),
    *(
        "MIXTRAL_CLOUDS",
        "MIXTRAL_PRICES",
        "MIXTRAL_RECIPES",
        "MIXTRAL_ALLOW_CIDRS",
        "MIXTRAL_GATEWAY_URL",
        "MIXTRAL_ADMINS",
    ),
}
"""Variables of the stable interface, which must not be removed."""


def test_the_reference_is_what_the_code_says():
    assert not stale(), "Run `make reference` and commit the result."


def test_the_reference_has_no_page_that_is_not_generated():
    assert {page.name for page in FOLDER.iterdir()} == set(pages())


def test_every_variable_that_the_product_reads_is_declared_and_every_declared_one_is_read():
    found, unclear = settings.read()
    names = [setting.name for setting in settings.declared()]
    undeclared = {name: str(path) for name, path in found.items() if name not in names}
    assert not undeclared, "Declare them in workers/settings_table.py, or in bot/settings.py what only the bot reads."
    assert set(names) <= set(found), f"Declared but read nowhere: {set(names) - set(found)}. Delete them."
    assert not unclear, "Name the variable by a string or a module's constant, so that the reference can list it."
    assert len(names) == len(set(names))


def test_the_variables_of_the_outside_contract_are_declared():
    assert {setting.name for setting in settings.declared()} >= CONTRACT


@pytest.mark.parametrize(
    "source",
    [
        'def f(environ): return environ.get("NEW_ONE")',
        'def f(environ): return environ["NEW_ONE"]',
        'def f(self): return self._environ.pop("NEW_ONE", "")',
        'def f(environ): return g(environ, "NEW_ONE")',
        'def f(environ): return "NEW_ONE" in environ',
        'def f(environ): return [environ.get(n) for n in ("NEW_ONE",)]',
        'def f(self):\n given = self._environ.get\n return given("NEW_ONE")',
        'import os\nX = os.getenv("NEW_ONE")',
    ],
)
def test_a_read_of_a_variable_is_found_however_it_is_written(source):
    tree = ast.parse(source)
    reader = settings.Reader({}, tree)
    reader.visit(tree)
    assert reader.found == {"NEW_ONE"}
    assert not reader.unclear


def test_a_read_whose_variable_cannot_be_told_is_reported():
    tree = ast.parse("def f(environ): return environ.get(some())")
    reader = settings.Reader({}, tree)
    reader.visit(tree)
    assert reader.unclear == [1]


def test_every_setting_names_commands_that_there_are():
    commands_ = {*main.commands, "engine"}
    for setting in settings.declared():
        assert set(setting.read_by.split(", ")) <= commands_, setting.name
        assert setting.meaning.endswith("."), setting.name


def test_the_declared_defaults_are_those_that_hold(tmp_path):
    read = from_environ({"MIXTRAL_HOME": str(tmp_path)}, needs_redis=False)
    held = (read.lease, read.sweep_every, read.control_lease, read.keep_trying_every, read.gateway.hold)
    assert [duration.total_seconds() for duration in held] == [86_400, 1, 10, 300, 60]
    assert (read.default_recipe, read.gateway.bind) == ("mixtral-8x7b", "0.0.0.0:8000")
    assert (read.gateway.backends, read.gateway.buffer) == (64, 262_144)


def test_every_command_is_in_the_reference():
    page = commands.page()
    assert USAGES.keys() == ENTRIES.keys()
    assert all(f"`/mixtral {usage}`" in page for usage in USAGES.values())
    assert all(f"### `mixtral-bot {name}" in page for name in main.commands)


def test_every_event_is_in_the_reference_as_a_fact_or_as_a_decision():
    page = events.page()
    assert all(f"### {event.__name__}\n\n*" in page for event in get_args(AnyEvent))
    assert events.recorded() >= {"MachineCreated", "ReplicaReady", "MachineGone"}
    assert not events.recorded() & {"Requested", "LaunchIntended", "Autoscaled", "ReplicaGivenUp", "DeploymentEnded"}


def test_every_key_that_the_product_keeps_in_redis_is_described():
    found = {key: str(path) for key, path in events.keys_in_source().items()}
    assert found.keys() <= KEYS.keys(), f"Describe them in tests/reference/redis_keys.py: {found.keys() - KEYS.keys()}"
    assert KEYS.keys() <= found.keys(), "Described in tests/reference/redis_keys.py and named nowhere: delete them."


@pytest.mark.parametrize("test", [test for tests in cases.CASES.values() for test in tests])
def test_each_test_that_shows_a_case_exists(test):
    file, _, name = test.partition("::")
    source = ROOT / file
    assert source.exists(), f"{file} does not exist."
    defined = {node.name for node in ast.parse(source.read_text()).body if isinstance(node, ast.FunctionDef)}
    assert name in defined, f"{file} has no {name}. Name the test that shows the case now."
