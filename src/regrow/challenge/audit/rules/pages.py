"""Writes the documentation pages of the rules: `python -m regrow.challenge.audit.rules.pages docs/audit/rules`."""

from __future__ import annotations

import sys
from pathlib import Path

from regrow.challenge.audit.finding import CONDITIONS, Rule
from regrow.challenge.audit.reading import READING_NOTES
from regrow.challenge.audit.rules import RULES
from regrow.core.files import atomic_write_text


def page(rule: Rule) -> str:
    """One rule as Markdown."""
    breaks = (
        "\n".join(f"- condition {n}: {CONDITIONS[n]}" for n in rule.breaks)
        or "- none of the four: it concerns accounting"
    )
    cases = ", ".join(str(c) for c in rule.cases)
    return f"""# {rule.title}

`{rule.id}` · severity {rule.severity} · confidence {rule.confidence} · known ways {cases}

{rule.why}

## What it breaks

{breaks}

## Flagged

```python
{rule.bad.strip()}
```

## Not flagged

```python
{rule.good.strip()}
```

## What clears it

{rule.clears}
"""


def index(rules: tuple[Rule, ...]) -> str:
    """The table of all rules, and the findings about reading itself."""
    rows = "\n".join(
        f"| [`{r.id}`]({r.id}.md) | {r.title} | {r.severity} | {', '.join(map(str, r.breaks)) or '-'} |"
        for r in sorted(rules, key=lambda r: r.id)
    )
    notes = "\n".join(f"| `{name}` | {text} |" for name, text in sorted(READING_NOTES.items()))
    return f"""# Rules of the static audit

Generated from the rules; a test keeps these pages current. Severity and confidence are those of an
established flow; a rule says less where it sees less, and a path that default settings do not take gives a
note (low) only.

| rule | title | severity | breaks condition |
| --- | --- | --- | --- |
{rows}

## Findings about reading itself

| finding | meaning |
| --- | --- |
{notes}
"""


def pages(rules: tuple[Rule, ...] = RULES) -> dict[str, str]:
    """File name to Markdown, for every rule and the index."""
    return {"README.md": index(rules), **{f"{rule.id}.md": page(rule) for rule in rules}}


def main(arguments: list[str]) -> int:
    """Write every page into the folder named by the first argument."""
    folder = Path(arguments[0] if arguments else "docs/audit/rules")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        atomic_write_text(folder / name, text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
