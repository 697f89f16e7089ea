"""Changes text, payloads and bytes at random, from a seed: the same seed gives the same inputs."""

import copy
import random
from collections.abc import Sequence
from typing import Any

from tests.fuzz.junk import JUNK, VALUES, WORDS


class Mutator:
    """Every method returns a new value."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def text(self, text: str) -> str:
        for _ in range(self.rng.choice((1, 1, 1, 2, 3, 6))):
            text = self._once(text)
        return text[:20_000]

    def sentence(self, words: Sequence[str] = WORDS) -> str:
        """Words of the grammar in any order, with junk in between."""
        chosen = [self.rng.choice(words) for _ in range(self.rng.randrange(8))]
        return " ".join(self.text(word) if self.rng.random() < 0.2 else word for word in chosen)

    def payload(self, payload: Any) -> Any:
        """JSON with a few changes: values of other types, texts, lost and doubled keys."""
        payload = copy.deepcopy(payload)
        for _ in range(self.rng.choice((0, 1, 1, 1, 2, 4))):
            where = list(_places(payload))
            if where:
                self._change(*self.rng.choice(where))
        return payload

    def data(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self.rng.choice((1, 1, 2, 4, 8))):
            at = self.rng.randrange(len(changed) + 1)
            match self.rng.randrange(4):
                case 0:
                    changed[at:at] = self.rng.randbytes(self.rng.choice((1, 2, 8, 300)))
                case 1:
                    del changed[at : at + self.rng.choice((1, 2, 16))]
                case 2:
                    changed[at:at] = changed[at : at + self.rng.choice((1, 8, 64))]
                case _:
                    changed[at : at + 1] = self.junk().encode(errors="surrogatepass")
        return bytes(changed)

    def junk(self) -> str:
        return self.rng.choice(JUNK)

    def _once(self, text: str) -> str:
        rng, at = self.rng, self.rng.randrange(len(text) + 1)
        words = text.split(" ")
        match rng.randrange(7):
            case 0:
                return text[:at] + self.junk() + text[at:]
            case 1:
                return text[:at] + text[at + rng.choice((1, 2, 9)) :]
            case 2:
                return text[:at] + text[max(0, at - 5) : at] + text[at:]
            case 3:
                rng.shuffle(words)
                return " ".join(words)
            case 4:
                words[rng.randrange(len(words))] = rng.choice(WORDS)
                return " ".join(words)
            case 5:
                return f"{text} {rng.choice(WORDS)} {self.junk()}"
            case _:
                return text.swapcase() if rng.random() < 0.5 else self.junk()

    def _change(self, container: Any, key: Any) -> None:
        rng, value = self.rng, container[key]
        match rng.randrange(6):
            case 0:
                del container[key]
            case 1:
                container[key] = copy.deepcopy(rng.choice(VALUES))
            case 2:
                container[key] = self.junk()
            case 3 if isinstance(value, str):
                container[key] = self.text(value)
            case 4:
                container[key] = [value] if rng.random() < 0.5 else {"value": value}
            case 5 if isinstance(container, list):
                container.append(copy.deepcopy(value))
            case _:
                container[key] = self.text(value) if isinstance(value, str) else copy.deepcopy(rng.choice(VALUES))


def _places(value: Any) -> Any:
    """Each container with each of its keys."""
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield value, key
            yield from _places(value[key])
