"""The report: one page that needs nothing else, hides nothing, and lets no text out of its place."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.html_page import Page
from tests.unit.reporting.conftest import DocumentCost

from regrow.core.errors import DataError
from regrow.report.page import write_report

MakeRun = Callable[..., Path]


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def test_a_page_of_any_number_of_runs_is_well_formed_and_loads_nothing_from_elsewhere(
    make_run: MakeRun,
) -> None:
    runs = [make_run("a"), make_run("b", bare=True, bytes=None, proof=None, bpb={}, seconds={})]
    for chosen in (runs[:1], runs[1:], runs):
        page = read(write_report(chosen))
        assert page.is_complete()
        assert "url(" not in page.style and "@import" not in page.style
        assert "http" not in page.script


def test_the_policy_lets_the_pages_own_script_run_and_nothing_else(make_run: MakeRun) -> None:
    page = read(write_report([make_run()]))
    digest = base64.b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]


def test_the_page_says_what_was_measured(make_run: MakeRun) -> None:
    page = read(write_report([make_run()]))
    wanted = (
        "1.2048 1.3214 1.3196 1.2791 1.2043 191,127 1,269,101 identical 2.2e-16 2,270,009 3,912,377 +0.0018"
    )
    wanted += " -0.0748 +0.0005 201361a9601ef3be"
    assert [figure for figure in wanted.split() if figure not in page.words] == []
    assert "bits per byte, proven" in page.words
    # Adaptive (score, proof, gain, distance, seconds) and parameter-golf's count were not run, and are named anyway.
    assert page.words.count("not run") == 9


def test_a_run_with_nothing_but_its_result_says_not_run_everywhere_and_how_to_get_the_rest(
    make_run: MakeRun,
) -> None:
    nothing: dict[str, Any] = {
        "bytes": None,
        "proof": None,
        "bpb": {},
        "seconds": {},
        "tokens_per_second": None,
    }
    page = read(write_report([make_run(bare=True, **nothing)]))
    assert page.words.count("not run") >= 25
    for command in ("regrow eval", "regrow prove", "regrow train"):
        assert command in page.words
    assert "proven\n" not in page.words.split("Bits per byte by predictor")[0]


def test_a_failed_proof_is_never_shown_as_a_figure(make_run: MakeRun) -> None:
    run = make_run()
    table = json.loads((run / "result.json").read_text())
    table["proof"]["sha256_match"] = False
    (run / "result.json").write_text(json.dumps(table))
    page = read(write_report([run]))
    headline = page.words.split("Bits per byte by predictor")[0]
    assert "1.2048" not in headline and "not proven" in headline
    assert "different" in page.words
    assert page.words.count("not run") == 11, (
        "the proven score and its distance are not run, beside the other nine"
    )


def test_an_evaluated_run_is_not_called_proven(make_run: MakeRun) -> None:
    headline = read(write_report([make_run(proof=None)])).words.split("Bits per byte by predictor")[0]
    assert "1.2043" in headline and "evaluated only" in headline and "regrow prove" in headline


SMALL_LOG = '{"step": 1, "tokens": 9, "seconds": 1, "bpb": 2.5, "rate": 1.0, "grad_norm": 2.0}'
EVIL = "</style></script><script>alert(1)</script><img src=x onerror=alert(1)>\"' onload='"


def test_whatever_a_runs_files_hold_stays_text(make_run: MakeRun) -> None:
    run = make_run(
        "<img src=x>", preset=EVIL, device=EVIL, torch=EVIL, bytes={"total": 2, "budget": 9, EVIL: 1, "b": 1}
    )
    table = json.loads((run / "result.json").read_text())
    table["data"]["name"] = EVIL
    (run / "result.json").write_text(json.dumps(table))
    (run / "config.toml").write_text(f"{json.dumps(EVIL)} = 1\n[a]\nb = {json.dumps(EVIL)}\n")
    page = read(write_report([run]))
    assert page.faults == []
    assert len(page.all("script")) == 1 and not page.all("img")
    assert "alert" not in page.script and "alert" not in page.style
    assert not any(key.startswith("on") for _, a in page.elements for key in a)
    assert page.words.count(EVIL) >= 6


def test_tokens_of_any_bytes_are_shown_one_by_one_with_what_they_cost(make_run: MakeRun) -> None:
    page = read(write_report([make_run()]))
    tokens = [a for a in page.all("span") if a.get("class", "").startswith("item t s")]
    assert len(tokens) == 6
    assert tokens[0]["class"] == "item t s0 memory" and tokens[2]["class"] == "item t s9 network"
    assert "0.04 bits (network alone 0.31 bits, memory alone 0.02 bits)" in tokens[0]["title"]
    assert "5 tokens of context (order 6)" in tokens[0]["title"]
    assert "no context (order 1)" in tokens[2]["title"]
    for shown in (" <b>&\"'", "␀", "⟨e2 80⟩", "↵\n"):
        assert shown in page.words
    assert not any("\x00" in word for word in page.words)


def test_runs_stand_side_by_side_and_what_differs_is_marked(make_run: MakeRun) -> None:
    runs = [make_run("one/run"), make_run("two/run", seed=2, overrides=("train.seed=2",))]
    page = read(write_report(runs, runs[0] / "both.html"))
    assert "one/run" in page.words and "two/run" in page.words
    assert len(page.all("section", "hero")) == 2 and len(page.all("figure", "excerpt")) == 2
    assert len(page.all("tr", "differs")) == 2, "the seed in the result and in the config"


def test_the_page_goes_beside_the_first_run_unless_told_otherwise(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_run("a"), make_run("b")]
    assert write_report(runs) == runs[0] / "report.html"
    assert write_report(runs, tmp_path / "new" / "page.html") == tmp_path / "new" / "page.html"
    assert (tmp_path / "new" / "page.html").read_bytes() == (runs[0] / "report.html").read_bytes()


def test_a_page_that_cannot_be_made_leaves_the_old_one(make_run: MakeRun) -> None:
    run = make_run()
    before = write_report([run]).read_bytes()
    (run / "result.json").write_text("{")
    with pytest.raises(DataError):
        write_report([run])
    assert (run / "report.html").read_bytes() == before
    assert [p.name for p in run.iterdir() if p.name.endswith(".tmp")] == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "has no result.json"),
        ("{", "is not JSON"),
        ("[]", "schema"),
        ('{"score": 1}', "schema"),
        ('{"schema": 2}', "schema is 2"),
        ('{"schema": 1}', "is not a result"),
        ("\ud800", "is not JSON"),
    ],
)
def test_a_missing_or_foreign_result_is_one_sentence_with_the_file_and_the_fix(
    make_run: MakeRun, text: str | None, what: str
) -> None:
    run = make_run()
    (run / "result.json").unlink()
    if text is not None:
        (run / "result.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError) as caught:
        write_report([run])
    message = str(caught.value)
    assert message.startswith(str(run)) and what in message and "regrow" in message.partition(";")[2]
    assert "\n" not in message and message.endswith(".")


def test_no_folder_at_all_is_said_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder; name the folder of a run"):
        write_report([tmp_path / "gone"])
    with pytest.raises(DataError, match="no run was named"):
        write_report([])


def test_side_files_that_cannot_be_used_are_said_on_the_page(make_run: MakeRun) -> None:
    run = make_run(log=["{", '{"step": 10, "tokens": 9, "seconds": 1, "bpb": 2.5}', '{"step": 20, "to'])
    (run / "config.toml").write_text("= 1")
    (run / "excerpt.json").write_text('{"tokens": 1}')
    (run / "artifact.safetensors").write_bytes(b"no artifact")
    page = read(write_report([run]))
    notes = page.words.split("Bits per byte by predictor")[0]
    for said in (
        "2 of its lines",
        "config.toml: could not be read",
        "is no excerpt",
        "not a regrow artifact",
    ):
        assert said in notes
    assert "1.2048" in notes, "the rest of the page is there"


def test_a_excerpt_of_another_artifact_is_left_out(make_run: MakeRun) -> None:
    run = make_run()
    (run / "artifact.safetensors").write_bytes(b"a newer one")
    page = read(write_report([run]))
    assert not page.all("figure", "excerpt")
    assert "was scored with another artifact" in page.words


def test_a_folder_whose_name_is_no_utf8_has_a_page(make_run: MakeRun) -> None:
    run = make_run(os.fsdecode(b"run-\xff"))
    assert "run-" in read(write_report([run])).words


def test_writing_a_page_needs_no_torch() -> None:
    code = "import sys, regrow.report.page; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_adaptive_proof_is_shown_beside_the_fixed_one(make_run: MakeRun) -> None:
    run = make_run()
    table = json.loads((run / "result.json").read_text())
    table["proof_adaptive"] = table["proof"] | {"bpb": 1.1717, "stream_bytes": 185_878, "track": "adaptive"}
    table["bpb"]["ttt"] = 1.1711
    (run / "result.json").write_text(json.dumps(table))
    page = read(write_report([run]))
    assert "with test-time training" in page.words
    for figure in ("1.1717", "1.1711", "185,878", "adaptive", "-0.0332", "1.2048"):
        assert figure in page.words


def test_each_document_has_its_score_and_a_bar_of_its_bits(make_run: MakeRun) -> None:
    page = read(write_report([make_run()]))
    bars = page.all("i", "item")
    assert [bar["style"].split(";")[:2] for bar in bars] == [
        ["left:0.000%", "width:25.000%"],
        ["left:25.000%", "width:75.000%"],
    ]
    assert "document 1, “Fellow citizens: <b>”: 1,000 bytes at 1.5000 bits per byte" in bars[0]["title"]
    assert "2 documents, 1.0500 bits per byte together" in page.words, "the mean is that of the whole text"
    for figure in ("1.5000", "1.8000", "1.6000", "0.9000", "1.1000", "hardest first"):
        assert figure in page.words
    alone = read(write_report([make_run("one", documents=[])]))
    assert not alone.all("i", "item") and "the text is one document" in alone.words


def test_of_many_documents_neighbours_share_a_bar_and_the_ends_are_named(make_run: MakeRun) -> None:
    many = [DocumentCost(100, 100.0 + i, None, 200.0, f"text {i}") for i in range(2000)]
    page = read(write_report([make_run(documents=many)]))
    bars = page.all("i", "item")
    assert 200 <= len(bars) <= 240 and bars[0]["title"].startswith("documents 1 to ")
    assert float(bars[-1]["style"].split("left:")[1].split("%")[0]) < 100
    named = page.words.split("hardest and easiest")[1].split("An excerpt")[0]
    assert [f"text {i}" in named for i in (1999, 1995, 1994, 5, 4, 0)] == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]


def test_a_sample_of_the_model_is_on_the_page_as_text(make_run: MakeRun) -> None:
    run = make_run()
    assert "regrow eval" in read(write_report([run])).words.split("A sample")[1], "none was drawn yet"
    excerpt = json.loads((run / "excerpt.json").read_text())
    (run / "excerpt.json").write_text(json.dumps(excerpt | {"sample": f"{EVIL}\nthen\x1b"}))
    page = read(write_report([run]))
    assert f"{EVIL}\nthen␛" in page.words and len(page.all("script")) == 1
    assert f"regrow sample {run}" in page.words


def test_every_plot_says_where_its_values_lie_for_who_points_into_it(make_run: MakeRun) -> None:
    log = [
        json.dumps(
            {"step": i, "tokens": i * 9, "seconds": i, "bpb": 3 - i / 9, "rate": 1.0, "grad_norm": 2.0}
        )
        for i in range(1, 9)
    ]
    page = read(write_report([make_run(log=log)]))
    areas = [a for a in page.all("div", "area") if "data-x" in a]
    assert len(areas) == 4 and all(len(a[end].split()) == 2 for a in areas for end in ("data-x", "data-y"))
    assert [a["data-unit"] for a in areas] == ["s", "tokens", "tokens", "tokens"]
    assert {a["data-name"] for a in page.all("path") if "data-name" in a} == {"network", ""}
    assert ".area[data-x]" in page.script


def test_rate_and_gradient_of_different_texts_are_drawn_apart(make_run: MakeRun) -> None:
    runs = [make_run(name, log=[SMALL_LOG]) for name in "ab"]
    assert len(read(write_report(runs)).all("figure", "small")) == 2
    table = json.loads((runs[1] / "result.json").read_text())
    table["data"]["val_sha256"] = "f" * 64
    (runs[1] / "result.json").write_text(json.dumps(table))
    page = read(write_report(runs))
    assert len(page.all("figure", "small")) == 4 and "gradient norm: b" in page.words


def test_a_loss_by_mixing_is_never_called_a_gain_on_the_page(make_run: MakeRun) -> None:
    gained = read(write_report([make_run("a")])).words
    bpb = {"neural": 1.3, "memory": 1.1, "blended": 1.2}
    lost = read(write_report([make_run("b", bpb=bpb)])).words
    both = read(write_report([make_run("c"), make_run("d", bpb=bpb)])).words.split("gained by mixing")[1]
    assert both.startswith("mixture below the better part alone-0.0748 (-5.8 %)-\n")
    assert "gained by mixing" in gained and "lost by mixing" not in gained
    assert "+0.1000 (+9.1 %)" in lost and "lost by mixing" in lost and "gained by mixing" not in lost
