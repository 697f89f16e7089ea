"""Reads the state of a deployment from outside: from its log, gateway, machines and card."""

import httpx

from bot.views.card import CARD
from tests.person import GENERAL, words
from workers.deployment.log import Log
from workers.gateway.routes import changes, layout, table_of
from workers.gateway.run import haproxy_of
from workers.run import wire_deployments
from workers.settings import from_environ

CHAT = "/v1/chat/completions"


class Eye:
    """Reads each part independently of the product's own code paths."""

    def __init__(self, line, person):
        settings = from_environ(line.env)
        redis = line.redis()
        self.line = line
        self.person = person
        self.log = Log(redis)
        self.requests = wire_deployments(settings, redis)
        self.haproxy = haproxy_of(settings.gateway)

    def state(self, name):
        return self.requests.by_id(self.log.names()[name])

    def key(self, name):
        """The launcher's key."""
        return self.requests.key(self.log.names()[name])

    def cards(self, name):
        """The messages whose metadata has the deployment's id."""
        kept = [m for m in self.person.messages(GENERAL) if (m.get("metadata") or {}).get("event_type") == CARD]
        return [m for m in kept if name in words(m)]

    def card(self, name, *said):
        """The text of the only card if it contains all of `parts`; otherwise None."""
        found = [words(m) for m in self.cards(name)]
        return found[0] if len(found) == 1 and all(part in found[0] for part in said) else None

    def table_is_right(self):
        """Whether HAProxy's table equals the log's, and its servers are the machines that run."""
        states = [self.requests.by_id(id_) for id_ in self.log.names().values()]
        wanted = table_of(states, {state.id: self.log.secrets(state.id) for state in states})
        actual = self.haproxy.actual()
        addresses = {f"http://{server.address}" for server in actual.servers}
        running = {s.machine.address for s in self.line.machines()}
        return changes(layout(wanted, actual), actual) == () and addresses == running

    def ask(self, key, *, question="Hello?", max_tokens=3, timeout=20):
        """The answer to a question through the endpoint."""
        return httpx.post(
            f"{self.line.gateway}{CHAT}",
            json={"messages": [{"role": "user", "content": question}], "max_tokens": max_tokens},
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout,
        )
