"""Who may do what."""

import pytest

from bot.commands.policy import Permission, may, refusal

OWNED = [deed for deed in Permission if may("U1", deed, launcher="U1", admins=())]


@pytest.mark.parametrize("deed", OWNED)
def test_the_launcher_and_the_admins_may(deed):
    assert may("U1", deed, launcher="U1", admins=())
    assert may("U9", deed, launcher="U1", admins={"U9"})
    assert not may("U2", deed, launcher="U1", admins={"U9"})


def test_a_refusal_names_who_may():
    said = refusal(Permission.END, name="fast", launcher="U1", admins={"U9", "U1"})
    assert said == "<@U1> launched *fast*: only they or an admin (<@U9>) may end it. Ask them."
    said = refusal(Permission.SEE_KEY, name="fast", launcher="U1", admins=())
    assert said.endswith("For a key of your own, ask them to type `/mixtral key fast new @YOU`.")
    assert "admin" not in refusal(Permission.SCALE, name="fast", launcher="U1", admins=())
