"""The script of a record folder: the same text each time, all that it needs by name, and the size that docs promise."""

from __future__ import annotations

import re
from pathlib import Path

from regrow.challenge.facts import LIMIT_BYTES
from regrow.challenge.submit.bundle import bundle
from regrow.challenge.submit.closure import closure
from regrow.core.config.load import config_toml, load_preset, preset_names

ROOT = Path(__file__).parents[2]


def test_a_bundle_is_the_same_text_each_time() -> None:
    made = bundle('preset = "x"\n', "A title.")
    assert made == bundle('preset = "x"\n', "A title.")
    compile(made.script, "train_gpt.py", "exec")
    needs = made.requirements.splitlines()
    assert {"torch", "numpy", "msgspec", "numba"} <= {need.partition("==")[0] for need in needs}
    assert all(f'"{need}"' in made.script for need in needs) and "+" not in made.requirements


def test_a_closure_holds_packages_on_the_way_and_nothing_of_python() -> None:
    found = closure(["regrow.core.config.load"])
    assert {"regrow/__init__.py", "regrow/core/__init__.py", "regrow/core/config/schema.py"} <= set(
        found.modules
    )
    assert "regrow/training/trainer.py" not in found.modules
    assert found.foreign == {"msgspec", "tomli_w"}


def test_the_budget_that_docs_advise_leaves_room_for_the_script() -> None:
    """docs/challenge.md names a bound of the script's bytes and the budget that goes with it."""
    page = (ROOT / "docs" / "challenge.md").read_text(encoding="utf-8")
    bound = int(re.findall(r"at most ([\d,]+) bytes", page)[0].replace(",", ""))
    advised = {int(n) for n in re.findall(r"pack\.budget_bytes=(\d+)", page)}
    largest = max(bundle(config_toml(load_preset(name)), "x" * 200).code_bytes for name in preset_names())
    assert largest <= bound <= 1.3 * largest
    assert advised == {LIMIT_BYTES - bound}
