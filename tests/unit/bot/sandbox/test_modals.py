"""The stack of modals."""

import pytest

from bot.sandbox import modals, seed
from bot.sandbox.feed import Feed
from bot.sandbox.limits import SlackError
from bot.sandbox.workspace import Workspace

VIEW = {"type": "modal", "blocks": []}


@pytest.fixture
def space():
    return Workspace(Feed())


def test_views_stack_and_know_what_is_under_them(space):
    root = modals.open_modal(space, seed.ROBIN, VIEW)
    top = modals.push(space, seed.ROBIN, VIEW)
    assert (top["previous_view_id"], top["root_view_id"]) == (root["id"], root["id"])
    modals.push(space, seed.ROBIN, VIEW)
    with pytest.raises(SlackError, match="push_limit_reached"):
        modals.push(space, seed.ROBIN, VIEW)
    modals.close(space, seed.ROBIN, top["id"])
    assert space.modals[seed.ROBIN] == [root]


def test_nothing_can_be_laid_on_nothing(space):
    with pytest.raises(SlackError, match="not_found"):
        modals.push(space, seed.ROBIN, VIEW)


def test_a_replaced_view_keeps_its_place_and_gets_a_new_hash(space):
    modals.open_modal(space, seed.ROBIN, VIEW)
    old = modals.push(space, seed.ROBIN, VIEW)
    new = modals.replace(space, seed.ROBIN, old, VIEW)
    assert (new["id"], new["previous_view_id"]) == (old["id"], old["previous_view_id"])
    assert new["hash"] != old["hash"]
    modals.clear(space, seed.ROBIN)
    with pytest.raises(SlackError, match="not_found"):
        modals.replace(space, seed.ROBIN, old, VIEW)


def test_an_external_id_is_taken_once(space):
    modals.open_modal(space, seed.ROBIN, VIEW | {"external_id": "mine"})
    assert modals.find(space, "external_id", "mine")[0] == seed.ROBIN
    with pytest.raises(SlackError, match="duplicate_external_id"):
        modals.open_modal(space, seed.ADA, VIEW | {"external_id": "mine"})
