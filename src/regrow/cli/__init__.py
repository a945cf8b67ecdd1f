"""The command line: one small file a command. Nothing heavy is imported before a command's body runs."""

from regrow.cli.app import main

__all__ = ["main"]
