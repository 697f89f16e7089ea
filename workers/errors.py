"""The base class of the workers' errors, and the one of a log that no part can read."""

from msgspec import MsgspecError

from workers.secrecy import masked


class WorkersError(Exception):
    """The message contains the error, its cause and how to fix it: it is shown to people, with secrets masked."""

    def __str__(self) -> str:
        return masked(super().__str__())  # a cloud or an engine may have quoted a key


class UnreadableLog(WorkersError, MsgspecError):
    """A log is damaged, or begins with an event of a newer version."""

    def __init__(self, deployment: str) -> None:
        super().__init__(
            f"The log mixtral:d:{deployment} cannot be read: a newer version of mixtral-bot wrote it, or it is "
            "damaged. Nothing is launched or ended for it, and the leases of its machines are extended. Upgrade the "
            "bot, the workers and the gateway; if that does not help, restore Redis from a backup."
        )
