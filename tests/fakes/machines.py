"""Machines of a stand-in cloud without processes: each is an address, a console and a running flag."""

import threading


class FakeMachines:
    def __init__(self) -> None:
        self.booted: dict[str, str] = {}
        self.living: set[str] = set()
        self.consoles: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def boot(self, machine: str, user_data: str, /) -> str:
        with self._lock:
            self.booted[machine] = user_data
            self.living.add(machine)
            self.consoles[machine] = ["the machine is up"]
            return f"127.0.1.{len(self.booted)}"

    def kill(self, machine: str, /) -> None:
        self.living.discard(machine)

    def console(self, machine: str, /) -> str:
        return "".join(f"{line}\n" for line in self.consoles.get(machine, []))

    def alive(self, machine: str, /) -> bool:
        return machine in self.living

    def close(self) -> None:
        self.living.clear()
