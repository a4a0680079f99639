"""Numbers with their nouns, as sentences need them."""


def count_of(n: int, noun: str) -> str:
    """Returns a number with its noun, which takes an s unless the number is 1.

    >>> count_of(1, "decision"), count_of(1200, "decision")
    ('1 decision', '1,200 decisions')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
