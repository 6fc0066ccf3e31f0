"""A user's mistake, worded in one line."""

import difflib
from argparse import ArgumentTypeError
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager


class UsageError(ValueError, ArgumentTypeError):
    """What the user asked for cannot be done: one line that names the key, the value and what is allowed.

    argparse prints the words of its own ArgumentTypeError; of any other ValueError it says `invalid value`.
    """


LIKE = 0.5  # share of the letters of two words that they have in common


def nearest(word: object, options: Iterable[str]) -> str:
    """Return `; nearest: x` for the option that `word` was probably meant to be, or an empty string.

    Of options that are equally near, one that begins with the word.
    """
    said = str(word)
    alike = [
        (difflib.SequenceMatcher(None, name, said).ratio(), name.startswith(said), name) for name in map(str, options)
    ]
    best = max(alike, default=(0.0, False, ""))
    return f"; nearest: {best[2]}" if best[0] >= LIKE else ""


def unknown(key: str, word: object, options: Iterable[str], meant: str | None = None) -> UsageError:
    """Word the commonest mistake: a name that is not among those that exist. meant: the name, where it is known."""
    names = sorted(str(option) for option in options)
    hint = f"; nearest: {meant}" if meant else nearest(word, names)
    return UsageError(f"{key}: unknown {word!r}; allowed: {', '.join(names) or 'nothing'}{hint}")


def require_known(key: str, words: Iterable[object], allowed: Collection[str]) -> None:
    """Raise UsageError at the first word that is not allowed."""
    for word in words:
        if word not in allowed:
            raise unknown(key, word, allowed)


@contextmanager
def of_the_system() -> Iterator[None]:
    """Word what the operating system refuses: a full disk, a folder that may not be written. A reader may leave."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f"{error.filename}: " if error.filename is not None else ""
        raise UsageError(f"{place}{error.strerror or error}") from error
