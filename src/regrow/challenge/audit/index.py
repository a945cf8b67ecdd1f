"""Every identifier that a finding or a probe can go by: of rules, record checks, probes, and notes of the audit."""

from __future__ import annotations

from regrow.challenge.audit.finding import Described
from regrow.challenge.audit.subject import NOTHING

#: Findings that are not about a way of being wrong but about the audit itself.
NOTES = (
    Described(NOTHING, "There is nothing to judge", "A folder without a claim, a figure or a scorer is not clean.",
         "A script, a submission folder or a regrow artifact."),
    Described("unreadable-source", "A file could not be read or parsed", "Nothing in it was judged.",
         "The file as text that Python can parse."),
    Described("hidden-source", "Code is executed that is not in the folder", "What cannot be read cannot be judged.",
         "The unpacked source beside the script."),
    Described("decompression-bomb", "A hidden layer unpacks to more than eight megabytes", "It was not opened.",
         "The unpacked source beside the script."),
    Described("not-followed", "The source was not followed to its end", "Part of it was not judged.",
         "A shorter or flatter source; until then judge this part by hand."),
    Described("read-in-part", "Not everything was read", "What lies beyond the audit's limits was not judged.",
         "The submission alone, without the files that do not belong to it."),
    Described("rule-crashed", "A rule or check crashed", "What it looks for was not judged.",
         "Report the crash, with the file, to regrow; until then judge this question by hand."),
    Described("probe-crashed", "A probe did not come to an end", "Its question stays open.",
         "A shim, or a scorer, with which every probe comes to an end; the message holds its last words."),
    Described("smoke-failed", "The script does not run on a CPU", "It says nothing about the score.",
         "A script that imports, builds its model and takes a step."),
)  # fmt: skip


def groups() -> dict[str, list[Described]]:
    """All of them by what they are, in the order of the documentation. No two share an id."""
    from regrow.challenge.audit.probe import PROBES
    from regrow.challenge.audit.record.artifact_record import CHECK
    from regrow.challenge.audit.record.checks import CHECKS
    from regrow.challenge.audit.rules import RULES

    return {"rule": [*RULES], "check": [*CHECKS, CHECK], "probe": [*PROBES], "note": [*NOTES]}


def identifiers() -> list[Described]:
    """All of them, in that order."""
    return [one for group in groups().values() for one in group]


def described() -> dict[str, Described]:
    """Each identifier's description."""
    return {one.id: one for one in identifiers()}
