"""Looks at one line from outside: what its log, its gateway, its machines and its card say of a deployment."""

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
    """Asks every part for itself, with nobody's help."""

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
        """The launcher's."""
        return self.requests.key(self.log.names()[name])

    def cards(self, name):
        """The cards of a deployment: messages whose metadata names it."""
        kept = [m for m in self.person.messages(GENERAL) if (m.get("metadata") or {}).get("event_type") == CARD]
        return [m for m in kept if name in words(m)]

    def card(self, name, *said):
        """What the one card reads, if it says all this; None if it does not."""
        found = [words(m) for m in self.cards(name)]
        return found[0] if len(found) == 1 and all(part in found[0] for part in said) else None

    def table_is_right(self):
        """HAProxy has what the log says, to the last entry, and its servers are the machines that run."""
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
