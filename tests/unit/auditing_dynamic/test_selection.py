"""`regrow audit --select`, `--ignore`, `--list-rules`, `--explain`: what counts, and what there is to choose from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.auditing_dynamic.audited_submission import submission

from regrow.challenge.audit import audit
from regrow.challenge.audit.index import NOTES, identifiers
from regrow.challenge.audit.selection import left_out
from regrow.cli import main
from regrow.core.errors import ConfigError

EVERY = {one.id for one in identifiers()}
NOTED = {note.id for note in NOTES}


@pytest.mark.parametrize(
    ("select", "ignore", "judged"),
    [
        ([], [], EVERY),
        (["over-the-cap"], [], {"over-the-cap"} | NOTED),
        (["over"], [], {"over-the-cap", "over-the-time-limit"} | NOTED),
        (["over,change-t"], [], {"over-the-cap", "over-the-time-limit", "change-target"} | NOTED),
        (["over"], ["over-the-cap"], {"over-the-time-limit"} | NOTED),
        (["over-the-cap"], ["over"], {"over-the-cap"} | NOTED),  # the longer word counts
        (["over"], ["over"], NOTED),
        (["ALL"], ["over-the-cap"], EVERY - {"over-the-cap"}),
        (["over-the-cap"], ["ALL"], {"over-the-cap"} | NOTED),
        ([], ["ALL"], NOTED),
        ([], ["not-followed"], EVERY - {"not-followed"}),
    ],
)
def test_the_longer_word_counts(select: list[str], ignore: list[str], judged: set[str]) -> None:
    assert EVERY - left_out(select, ignore) == judged


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--select", "hash-key"], "did you mean target-in-hash-key"),
        (["--ignore", "over-the-cpa"], "did you mean over-the-cap"),
        (["--ignore", "q" * 9], "--list-rules"),
        (["--select", "over,,"], "commas between"),
        (["--explain", "targets-clmaped"], "did you mean targets-clamped"),
    ],
)
def test_an_unknown_id_is_one_sentence(
    tmp_path: Path, options: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(submission(tmp_path / "a")), *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and hint in err and err.count("\n") == 1


def test_what_is_left_out_changes_verdict_and_exit_code_and_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = submission(tmp_path / "all" / "big", bytes_total=17_000_000)
    assert main(["audit", str(folder)]) == 1
    capsys.readouterr()
    assert main(["audit", str(folder), "--ignore", "over-the-cap,size", "--quiet"]) == 0
    assert "Not judged, on request: over-the-cap, size-not-as-logged." in capsys.readouterr().out
    assert main(["audit", str(folder), "--select", "over", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert {f["rule"] for f in told["findings"]} == {"over-the-cap"} and "seed-counted-twice" in told[
        "left_out"
    ]
    assert (
        main(["audit", str(tmp_path / "all"), "--many", "--ignore", "over", "--ignore", "size", "--json"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["submissions"][0]["verdict"] == "clean"
    assert audit(folder, ignore="over-the-cap,size").verdict == "clean", "a string is no list of letters"


def test_what_is_nothing_stays_nothing(tmp_path: Path) -> None:
    assert audit(tmp_path, ignore=["ALL"]).verdict == "nothing-to-audit"
    with pytest.raises(ConfigError):
        audit(tmp_path, ignore=["nothing-to-audit"])


def test_a_probe_that_is_left_out_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from regrow.challenge.audit.probe.run import run_probes
    from regrow.challenge.audit.probe.scorer import Scorer

    monkeypatch.setattr(Scorer, "learn", lambda self: None)
    shim = tmp_path / "shim.py"
    shim.write_text("")
    results, _ = run_probes(shim, out=left_out(["count-bytes"]))
    assert [result.probe for result in results] == ["count-bytes"]


def test_every_rule_is_listed_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--list-rules"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {one.id} " in listed and one.title in listed for one in identifiers())
    assert main(["audit", "--list-rules", "--json"]) == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)["rules"]] == [
        one.id for one in identifiers()
    ]
    for one in identifiers():
        assert main(["audit", "--explain", one.id]) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert told.startswith(f"{one.id} (") and one.why in told and f"To clear: {one.clears}" in told


def test_without_a_path_there_is_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit"]) == 2
    assert "Missing argument 'PATH'" in capsys.readouterr().err
