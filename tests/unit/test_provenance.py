"""Where a result comes from."""

from __future__ import annotations

import datetime
import re
import sys
from pathlib import Path

import pytest

from regrow import __version__
from regrow.cli.runs import better_part
from regrow.core.provenance import cpu_name, provenance
from regrow.core.results import Bpb


def test_date_command_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/lib/regrow/__main__.py", "fit", "my text.txt"])
    found = provenance()
    assert found["command"] == "regrow fit 'my text.txt'" and found["regrow"] == __version__
    assert found["python"] == sys.version.split()[0] and found["cpu"]
    then = datetime.datetime.fromisoformat(found["date"].replace(" UTC", "+00:00"))
    assert abs(datetime.datetime.now(datetime.UTC) - then) < datetime.timedelta(minutes=10)
    assert re.fullmatch(r"[0-9a-f]{12}", found.get("commit", "0" * 12))


def test_the_processor_is_named_as_the_system_names_it(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor : 0\nmodel name\t: A CPU @ 3 GHz\n")
    assert cpu_name(tmp_path) == "A CPU @ 3 GHz"
    assert cpu_name(tmp_path / "nowhere")


def test_a_part_that_is_better_alone_is_named() -> None:
    assert better_part(Bpb(neural=2.0, memory=1.5, blended=1.6)) == "the memory"
    assert better_part(Bpb(neural=1.4, memory=1.5, blended=1.6)) == "the network"
    assert not better_part(Bpb(neural=2.0, memory=1.5, blended=1.5))
    assert not better_part(Bpb(memory=1.5, blended=1.6)), "a memory alone is its own mixture, up to rounding"
