"""What the policy says no with."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not a fault
    """The policy says no. ``sentence`` tells the person what to do; ``field`` is where it belongs."""

    def __init__(self, field: str, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field, self.code, self.sentence = field, code, sentence
