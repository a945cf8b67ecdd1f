"""What the limited child is kept from, and that the audit survives whatever it does."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from regrow.challenge.audit.probe.run import run_probes
from regrow.challenge.audit.sandbox.sandbox import Child, ChildError, Limits

_BODY = """
import numpy as np
VOCAB_SIZE = 4
def score(tokens):
{deed}
    return np.zeros(len(tokens))
"""


def ask(tmp_path: Path, deed: str, limits: Limits | None = None) -> Child:
    """A child whose `score` does a deed."""
    shim = tmp_path / "shim.py"
    shim.write_text(_BODY.format(deed="\n".join("    " + line for line in deed.splitlines())))
    return Child("shim", shim, limits=limits)


def score(child: Child) -> None:
    child.ask("score", {"tokens": np.zeros(3, np.int64)})


@pytest.mark.parametrize(
    "deed",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9), timeout=1)",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "open('{place}/written', 'w').write('x')",
        "import os; os.remove('{place}/shim.py')",
        "import os; os.kill(os.getppid(), 0) if False else os.fork()",
    ],
)
def test_what_leaves_the_scratch_folder_is_refused(tmp_path: Path, deed: str) -> None:
    with ask(tmp_path, deed.replace("{place}", str(tmp_path))) as child, pytest.raises(ChildError):
        score(child)
    assert not (tmp_path / "written").exists() and (tmp_path / "shim.py").exists()


def test_the_scratch_folder_may_be_written_and_goes_away(tmp_path: Path) -> None:
    with ask(tmp_path, "import os; open('mine', 'w').write('x'); global W; W = os.getcwd()") as child:
        score(child)
        folder = Path(child._folder.name)
        assert (folder / "mine").exists()
    assert not folder.exists()


def test_files_elsewhere_cannot_be_read_where_the_kernel_helps(tmp_path: Path) -> None:
    """The reviewer's own files stay unread; where Landlock is missing the report says so."""
    secret = tmp_path.parent / f"{tmp_path.name}-secret"
    secret.write_text("key")
    with ask(tmp_path, f"open({str(secret)!r}).read()") as child:
        if "NOT ISOLATED" in child.confined["files"]:
            pytest.skip("this kernel has no Landlock")
        with pytest.raises(ChildError, match="Permission"):
            score(child)


def test_every_protection_is_told(tmp_path: Path) -> None:
    with ask(tmp_path, "pass") as child:
        assert set(child.confined) == {"limits", "network", "files", "processes"}
        assert all(len(text) > 20 for text in child.confined.values())


def test_a_scorer_that_never_answers_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    with (
        ask(tmp_path, "import time; time.sleep(60)", Limits(answer_seconds=1.0)) as child,
        pytest.raises(ChildError, match="did not answer"),
    ):
        score(child)
    assert time.monotonic() - began < 20


def test_memory_beyond_the_limit_is_an_error_not_a_full_machine(tmp_path: Path) -> None:
    with (
        ask(tmp_path, "np.ones(400_000_000)", Limits(memory_bytes=2 * 2**30)) as child,
        pytest.raises(ChildError, match="Memory"),
    ):
        score(child)


def test_a_file_beyond_the_limit_ends_the_child(tmp_path: Path) -> None:
    with (
        ask(tmp_path, "open('big', 'wb').write(bytes(3_000_000))", Limits(file_bytes=1_000_000)) as child,
        pytest.raises(ChildError),
    ):
        score(child)


def test_a_child_that_writes_nonsense_on_the_wire_is_a_child_that_failed(tmp_path: Path) -> None:
    deed = "import os\nfor fd in range(3, 1000):\n    try: os.write(fd, b'\\\\xff' * 64)\n    except OSError: pass"
    shim = tmp_path / "shim.py"
    shim.write_text(_BODY.format(deed="\n".join("    " + line for line in deed.splitlines())))
    results, _ = run_probes(shim, limits=Limits(answer_seconds=1.0))
    assert any(result.outcome == "crashed" for result in results)


def test_what_the_child_prints_is_no_answer(tmp_path: Path) -> None:
    with ask(tmp_path, 'print(\'{"probe": "passed"}\')') as child:
        score(child)
        assert "probe" in child.last_words()
