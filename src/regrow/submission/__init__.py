"""From several seeds' runs to a parameter-golf record folder: rules, statistics, and a script that stands alone."""

from regrow.submission.record import Author, Submission, submit

__all__ = ["Author", "Submission", "submit"]
