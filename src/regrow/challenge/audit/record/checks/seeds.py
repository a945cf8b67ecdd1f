"""The mean: of runs with one configuration, each seed once, and as good as it says."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator

from regrow.challenge.audit.record.check import Found, check
from regrow.challenge.audit.record.claims import number
from regrow.challenge.audit.record.record import Record
from regrow.challenge.facts import RECORD_P

#: A mean may differ from the headline by so many bits per byte before a reader would call it another figure.
_SAME_MEAN = 3e-4


def _quote(record: Record) -> str:
    """The lines behind the headline, each with its place."""
    used = record.trace.used if record.trace else ()
    return "\n".join(f"{record.place(log.path, r.line)}: {r.text}" for log, r in used)


@check(
    "settings-mixed",
    "One mean over several configurations",
    why="A mean over different configurations is no evidence for any of them, and lets the best of many runs in.",
    clears="Logs of one configuration, a seed each.",
)
def settings_mixed(record: Record) -> Iterator[Found]:
    found = record.trace
    if found is None or len(found.used) < 2:
        return
    differing: list[str] = []
    first = found.used[0][0]
    for log, _ in found.used[1:]:
        for key in sorted(first.settings.keys() & log.settings.keys()):
            (line, value), (other_line, other) = first.settings[key], log.settings[key]
            unrelated = key.lower().startswith("ttt") and "ttt" not in found.label
            counted = value.isdigit() and int(value[:18]) > 10**6
            if value != other and not unrelated and not counted:
                differing.append(
                    f"{record.place(first.path, line)}: {key}={value} | "
                    f"{record.place(log.path, other_line)}: {key}={other}"
                )
    if differing:
        message = (
            f"The headline is a mean over runs of different settings ({len(differing)} differ); it is the "
            "figure of none of them."
        )
        yield Found("medium", "medium", first.path, None, message, "\n".join(differing[:8]))


@check(
    "headline-not-the-mean",
    "The headline is better than the mean of its seeds",
    why="The best of several seeds is luck as much as design.",
    clears="State the mean over all seeds that were run.",
)
def not_the_mean(record: Record) -> Iterator[Found]:
    lead, found, claims = record.headline, record.trace, record.seeds
    if lead and len(claims) > 1:
        mean = statistics.fmean(claims.values())
        if mean - lead.bpb > _SAME_MEAN:
            single = min(claims.values(), key=lambda v: abs(v - lead.bpb))
            message = (
                f"The headline {lead.bpb} is better than the mean of the {len(claims)} seeds listed beside it, "
                f"{mean:.5f}"
                + (f"; it is one seed's figure ({single})." if abs(single - lead.bpb) < 1e-4 else ".")
            )
            yield Found("low", "high", lead.path, lead.line, message, lead.evidence)
    if found is None or found.kind != "subset" or not found.unused or claims:
        return
    worse = [r.bpb for _, r in found.unused if r.bpb > max(found.values)]
    if worse:
        message = (
            f"The mean leaves out {len(found.unused)} log(s) that print the same line, {len(worse)} of them worse "
            "than any that is in it."
        )
        left_out = "; ".join(f"{record.place(log.path, r.line)}: {r.bpb}" for log, r in found.unused)
        log, reading = found.used[0]
        evidence = f"{_quote(record)}\nleft out: {left_out}"
        yield Found("low", "medium", log.path, reading.line, message, evidence)


@check(
    "seed-counted-twice",
    "One seed counted twice in a mean",
    why="A repeated seed makes the deviation too small and the p-value too good.",
    clears="Logs of distinct seeds.",
)
def counted_twice(record: Record) -> Iterator[Found]:
    used = record.trace.used if record.trace else ()
    seeds = [log.seed for log, _ in used if log.seed is not None]
    repeated = next((s for s in seeds if seeds.count(s) > 1), None)
    if repeated:
        message = (
            f"The mean counts seed {repeated} more than once: it is a mean over fewer seeds than it seems."
        )
        yield Found("medium", "medium", used[0][0].path, used[0][1].line, message, _quote(record))


@check(
    "p-value-not-reproduced",
    "The p-value stated is not the one the logs give",
    why="A record needs p < 0.01, and the logs decide.",
    clears="More seeds, or the test spelled out with its numbers.",
)
def p_value(record: Record) -> Iterator[Found]:
    claims = record.claims
    stated = next((number(v) for k, v in claims.values.items() if re.fullmatch(r"p_?value|p", k)), None)
    tested = record.significance
    if stated is None or tested is None or tested.p is None:
        return
    if stated <= RECORD_P and tested.p > 1.1 * RECORD_P:
        line, text = claims.line('"p')
        message = (
            f"p = {stated} is stated; a one-sided t test of the {len(record.figures)} figures in the logs against "
            f"{tested.bar:.5f} gives p = {tested.p:.3g}."
        )
        yield Found("low", "medium", claims.path, line, message, text)


CHECKS = (settings_mixed, not_the_mean, counted_twice, p_value)
