"""The requests of one run of a deployment: those that it has intended, and the one that it expects to follow."""

from datetime import timedelta

from msgspec.structs import replace

from workers.machines import MachineRequest, Token

EXPECTED_FOR = timedelta(minutes=1)
"""Age from which an expected request is not used any more: the lease of its machine would be shorter by that."""


class Intended:
    """Kept in memory only: another process looks for the machine of each intent before it requests one."""

    def __init__(self, lease: timedelta) -> None:
        """`lease`: that of a new machine."""
        self._expected_for = min(EXPECTED_FOR, lease / 10)
        self.tokens: set[Token] = set()
        """Of the intents that this run has appended: no machine of them exists before it requests one."""
        self.following: MachineRequest | None = None
        """The request that follows if the newest one is refused; its driver may have prepared it."""

    def chosen(self, needed: MachineRequest) -> MachineRequest:
        """The expected request if only its token and a slightly earlier expiry differ from `needed`, else `needed`.

        It is returned once: a token is used for one intent.
        """
        expected, self.following = self.following, None
        if expected is None or not timedelta() <= needed.expires_at - expected.expires_at <= self._expected_for:
            return needed
        same = replace(needed, token=expected.token, expires_at=expected.expires_at) == expected
        return expected if same else needed
