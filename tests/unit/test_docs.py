"""Pages that are made from the code are those of the code."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_of_the_command_line_is_current() -> None:
    """If this fails: `python docs/make_cli.py`."""
    make = runpy.run_path(str(ROOT / "docs" / "make_cli.py"))
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == make["page"]()


def test_every_dependency_has_its_reason() -> None:
    import re
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(d for extra in project["optional-dependencies"].values() for d in extra),
    ]
    names = {re.split(r"[<>=~\[]", line)[0] for line in wanted} - {"regrow"}  # an extra that holds others
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert sorted(name for name in names if f"| `{name}` |" not in page) == []
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert sorted(name for name in names if f"\n{name}==" not in pinned) == []


def test_the_code_layout_names_every_room() -> None:
    layout = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    source = ROOT / "src" / "regrow"
    rooms = {path.parent.relative_to(source) for path in source.rglob("__init__.py")} - {Path()}
    assert sorted(str(room) for room in rooms if f" {room.name}/" not in layout) == []


def test_mutation_testing_names_files_that_are_there() -> None:
    import tomllib

    named = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    paths = [*named["only_mutate"], *named["pytest_add_cli_args_test_selection"]]
    assert [path for path in paths if not (ROOT / path).is_file()] == []
