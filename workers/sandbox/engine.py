"""The process of one sandbox machine: waits, then runs the engine; `-m … PARENT DELAY [ENGINE ARGUMENT…]`."""

import runpy
import sys
import time

from workers.processes import die_with_parent


def main() -> None:
    parent, delay, *command = sys.argv[1:]
    die_with_parent(int(parent))
    say("this machine is a stand-in on your own computer")
    time.sleep(float(delay))
    if not command:
        say("the user data contains nothing to serve")
        while True:
            time.sleep(3600)
    engine, *sys.argv[1:] = command
    say(f"starting the engine {engine}")
    runpy.run_module(f"workers.serving.{engine}", run_name="__main__", alter_sys=True)


def say(what: str) -> None:
    sys.stdout.write(f"mixtral: {what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
