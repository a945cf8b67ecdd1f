"""The report as Markdown: the page's figures, in tables that GitHub reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.unit.reporting.conftest import MakeRun

from regrow.cli import main
from regrow.report.inspect import describe
from regrow.report.markdown import markdown_report
from regrow.report.page import write_report


def test_the_figures_are_there_in_tables_of_one_width(make_run: MakeRun) -> None:
    text = markdown_report([make_run("a"), make_run("b|_x")])
    for figure in ("1.2048", "1.3214", "1.2791", "191,127", "identical", "201361a9601ef3be"):
        assert figure in text
    assert "not run" not in text.replace("| not run", ""), "rows that no run has are left out"
    for table in (part.splitlines() for part in text.split("\n\n") if part.startswith("|")):
        assert {line.replace("\\|", "").count("|") for line in table} == {4} and table[
            1
        ] == "| --- | ---: | ---: |"
    assert "b\\|\\_x" in text


def test_the_command_prints_it_or_writes_it(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(make_run("a"))
    assert main(["report", run, "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert main(["report", run, "--markdown", "-o", str(tmp_path / "a.md")]) == 0
    assert (tmp_path / "a.md").read_text() == printed == markdown_report([run])
    assert not (Path(run) / "report.html").exists()


def test_runs_on_different_texts_have_no_scale_in_common(make_run: MakeRun) -> None:
    first, second = make_run("a"), make_run("b")
    table = json.loads((second / "result.json").read_text())
    table["data"]["val_sha256"] = "f" * 64
    same = write_report([first, second]).read_text()
    (second / "result.json").write_text(json.dumps(table))
    page = write_report([first, second]).read_text()
    assert "judged on different texts" in page and "judged on different texts" not in same
    assert (same.count('class="plot x-'), page.count('class="plot x-')) == (2, 4)


def test_a_loss_by_mixing_is_not_called_a_gain(make_run: MakeRun) -> None:
    run = make_run("a")
    assert "gained by mixing" in markdown_report([run]) and "lost by mixing" not in markdown_report([run])
    table = json.loads((run / "result.json").read_text())
    table["bpb"]["memory"] = 1.0
    table |= {
        "kept": "memory",
        "candidates": {"mixture": 1.2043, "memory": 1.0},
        "baselines": {"xz -9e": 2.1},
    }
    (run / "result.json").write_text(json.dumps(table))
    text = markdown_report([run])
    assert "gained by mixing" not in text and "| lost by mixing | +0.2043" in text
    assert "memory (memory 1.0000, mixture 1.2043)" in text and "| xz -9e | 2.1000 |" in text


def test_the_adaptive_figure_config_and_hashes_are_there_for_a_pull_request(
    make_run: MakeRun, small_artifact: Path
) -> None:
    made = {"date": "2026-11-27", "command": "regrow train --x_y", "cpu": "A CPU", "commit": "abc123"}
    run = make_run("a", made=made)
    assert "Adaptive proof" not in markdown_report([run]), "no table of nothing"
    shutil.copy(small_artifact, run / "artifact.safetensors")
    table = json.loads((run / "result.json").read_text())
    table["proof_adaptive"] = table["proof"] | {"bpb": 1.1717, "stream_bytes": 185_878, "track": "adaptive"}
    (run / "result.json").write_text(json.dumps(table))
    text = markdown_report([run])
    adaptive = text.split("| Adaptive proof |")[1].split("\n\n")[0]
    assert "| stream | 185,878 |" in adaptive and "| bits per byte | 1.1717 |" in adaptive
    assert "| date | 2026-11-27 |" in text and "| cpu | A CPU |" in text and "| commit | abc123 |" in text
    assert "| command | regrow train --x\\_y |" in text
    config, hashes = text.split("<details>")[1:]
    assert "<summary>Config</summary>\n\n|" in config and "| n\\_layer | 2 |" in config
    known = describe(small_artifact)
    bases = {f"base {name}": base["sha256"] for name, base in known["bases"].items()}
    wanted = {
        "artifact": known["sha256"],
        "held-out text": table["data"]["val_sha256"],
        "counts": "c" * 64,
        **bases,
    }
    assert len(bases) > 2
    for name, digest in wanted.items():
        assert f"| {name} | {digest} |" in hashes.replace("\\_", "_")
    assert text.count("<details>") == text.count("</details>") == 2
