"""Errors a user may meet. Each message is one sentence: the file, the field, and the fix."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


class RegrowError(Exception):
    """A fault we can name; the command line prints it as one line and exits with `exit_code`."""

    exit_code: int = 2


class ConfigError(RegrowError):
    """A config file, preset or override that cannot be used."""


class DataError(RegrowError):
    """Input text or a data folder that cannot be used."""


class TokenizerError(RegrowError):
    """A tokenizer that cannot be trained or read."""


class TooFewTokens(TokenizerError):
    """A text that does not give a vocabulary of the size that was asked for; `possible` is the largest it gives."""

    def __init__(self, sentence: str, possible: int) -> None:
        super().__init__(sentence)
        self.possible = possible


class NgramError(RegrowError):
    """Counts or a stored n-gram memory that cannot be used."""


class ArtifactError(RegrowError):
    """An artifact that is damaged, foreign, or of another format version."""


class StreamError(RegrowError):
    """A compressed stream that is damaged or was made with another artifact or other settings."""


class EnvironmentProblem(RegrowError):
    """The machine stands in the way: no space left, no permission, a missing optional package."""


class BudgetError(RegrowError):
    """An artifact over its byte budget: a negative verdict, not a mistake."""

    exit_code = 1


class ProofError(RegrowError):
    """A proof that failed: the decoded bytes are not the encoded ones."""

    exit_code = 1


class RuleError(RegrowError):
    """A submission that breaks a rule of the challenge: a negative verdict, not a mistake."""

    exit_code = 1


def reason(error: OSError) -> str:
    """What the system says of it, in a few words: no such file or directory."""
    return (error.strerror or str(error)).lower()


@contextlib.contextmanager
def readable(
    path: Path, fix: str = "check its path and permissions", kind: type[RegrowError] = DataError
) -> Iterator[None]:
    """Inside, an OSError becomes an error of `kind`: `path` cannot be read, why, and the `fix`."""
    try:
        yield
    except OSError as error:
        raise kind(f"{path}: cannot be read ({reason(error)}); {fix}.") from error
