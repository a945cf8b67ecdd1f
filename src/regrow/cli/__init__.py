"""The command line: one small file a command. Nothing heavy is imported before a command's body runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `regrow ARGUMENTS` (the process's own by default) and return the exit code."""
    try:
        from regrow.cli import app

        return app.main(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:  # ctrl-C before there is anything to interrupt
        sys.stderr.write("regrow: error: interrupted\n")
        return 130
    except MemoryError:  # not even enough to say more
        sys.stderr.write(
            "regrow: error: there is not enough memory; free some, or raise the limit (ulimit -v).\n"
        )
        return 2


__all__ = ["main"]
