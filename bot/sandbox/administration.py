"""What administrators of the workspace do, for tests: each method is a POST to `/sandbox/NAME`.

Each raises ValueError for what does not exist.
"""

from bot.sandbox.limits import JSON
from bot.sandbox.stand_in import StandIn


class Administration:
    """`/sandbox/*`, apart from faults and logs."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in

    async def scope(self, body: JSON) -> JSON:
        """Grant a scope to the app, or take it away: {scope, granted}."""
        name = str(body["scope"])
        if body["granted"]:
            self._stand_in.scopes.add(name)
        else:
            self._stand_in.scopes.discard(name)
        return {"ok": True}
