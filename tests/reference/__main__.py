"""Generates the pages of docs/reference from the code: `make reference`. With `--check`, lists the stale ones."""

import sys

from tests.reference.pages import FOLDER, pages, stale


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        for name in stale():
            print(f"docs/reference/{name} is stale. Run `make reference` and commit the result.")
        return 1 if stale() else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
