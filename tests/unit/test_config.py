"""What a config file, a preset and an override promise."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from regrow.core.config.load import (
    apply_overrides,
    config_toml,
    load_config,
    load_preset,
    parse_config,
    preset_names,
)
from regrow.core.config.schema import Config, PackConfig
from regrow.core.errors import ConfigError
from regrow.training.needs import check_budget


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        apply_overrides(load_preset("demo"), overrides)
    return str(caught.value)


def test_the_presets_of_the_contract_are_there_under_their_names() -> None:
    assert preset_names() == ["baseline", "books-cpu", "demo", "published", "record"]
    assert [load_preset(name).preset for name in preset_names()] == preset_names()


def test_published_is_the_published_design() -> None:
    config = load_preset("published")
    model, train = config.model, config.train
    assert (model.n_layer, model.d_model, model.n_head, model.n_kv_head) == (5, 512, 8, 4)
    assert (model.mlp_ratio, model.r, model.seeded, model.rope_dims) == (3.0, 64, "all", 16)
    assert (model.softcap, model.qk_gain, config.data.vocab_size) == (30.0, 1.5, 1024)
    assert (train.batch_tokens, train.seq_len, train.max_seconds) == (524_288, 2048, 600.0)
    assert (train.momentum, train.lr_matrix, train.weight_decay) == (0.99, 0.04, 0.04)
    assert (train.grad_clip, train.ema) == (0.1, 0.997)


def test_baseline_is_an_ordinary_network_without_memory() -> None:
    config = load_preset("baseline")
    assert (config.model.n_layer, config.model.d_model, config.model.mlp_ratio) == (9, 512, 2.0)
    assert (config.model.seeded, config.memory.kind, config.mixer.kind) == ("none", "none", "none")


def test_the_demo_stands_on_seeded_matrices_and_four_megabytes() -> None:
    config = load_preset("demo")
    assert config.model.seeded in ("all", "mlp")
    assert config.pack.budget_bytes == 4_000_000


@pytest.mark.parametrize("name", preset_names())
def test_a_resolved_config_reads_back_equal(name: str, tmp_path: Path) -> None:
    config = load_preset(name)
    assert load_config(write(tmp_path, config_toml(config))) == config


@pytest.mark.parametrize("name", ["books-cpu", "record"])
def test_presets_for_the_challenges_limit_keep_within_it(name: str) -> None:
    """16 MB and ten minutes; the network with its tokenizer leaves room for a memory."""
    config = load_preset(name)
    assert (config.pack.budget_bytes, config.train.max_seconds) == (16_000_000, 600.0)
    half = msgspec.structs.replace(config, pack=PackConfig(budget_bytes=14_500_000))
    check_budget(half, config.data.vocab_size, 30_000)


def test_a_preset_without_its_own_name_would_be_a_lie() -> None:
    """`preset` is the file's own name, so that a run's config.toml says where it came from."""
    for name in preset_names():
        assert f'preset = "{name}"' in config_toml(load_preset(name))


def test_keys_left_out_have_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "[train]\nmax_steps = 7\n"))
    assert config.train.max_steps == 7
    assert config.model == Config().model
    assert config.preset == "custom"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[train]\nmax_step = 3\n", ["train.max_step;", "train.max_steps"]),
        ("[modle]\nr = 3\n", ["modle", "model"]),
        ("[train]\nn_layer = 3\n", ["train.n_layer", "model.n_layer"]),
        ("n_layer = 3\n", ["n_layer", "model.n_layer"]),
        ("[pack]\nzzz = 3\n", ["pack.zzz", "budget_bytes", "load_seconds"]),
    ],
)
def test_an_unknown_key_is_named_with_the_file_and_the_nearest_valid_key(
    text: str, names: list[str], tmp_path: Path
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    for name in [str(path), *names]:
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('[train]\nmax_steps = "many"\n', ["train.max_steps", "'many'", "int"]),
        ("[train]\nmax_steps = 1.5\n", ["train.max_steps", "1.5", "int"]),
        ("[train]\nmax_steps = -1\n", ["train.max_steps", "-1", ">= 0"]),
        ('[model]\nseeded = "some"\n', ["model.seeded", "'some'", "'all', 'mlp', 'none'"]),
        ("[memory]\nmax_order = 17\n", ["memory.max_order", "17", "<= 16"]),
        ("[model]\nd_model = 4160\n", ["model.d_model", "4160", "<= 4096"]),
        ("[model]\nsoftcap = 44.5\n", ["model.softcap", "44.5", "<= 44"]),
        ("train = 3\n", ["train", "3", "table"]),
        ("[train]\nmax_seconds = inf\n", ["train.max_seconds", "inf"]),
        ("[train]\nseed = 9223372036854775808\n", ["train.seed", "2**63"]),
    ],
)
def test_a_wrong_type_or_value_is_named_with_what_stands_there(
    text: str, names: list[str], tmp_path: Path
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    for name in [str(path), *names]:
        assert name in str(caught.value)


def test_a_whole_number_will_do_for_a_float() -> None:
    assert apply_overrides(Config(), ["train.max_seconds=3"]).train.max_seconds == 3.0


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        (["model.d_model=100"], ["model.d_model", "64"]),
        (["model.n_head=5"], ["model.n_head", "256"]),
        (["model.n_kv_head=3"], ["model.n_kv_head", "model.n_head"]),
        (["model.rope_dims=66"], ["model.rope_dims", "64"]),
        (["model.rope_dims=7"], ["model.rope_dims", "even"]),
        (["model.mlp_ratio=2.1"], ["model.mlp_ratio", "537.6"]),
        (["model.mlp_ratio=1e308"], ["model.mlp_ratio", "inf"]),
        (["model.mlp_ratio=2.125"], ["model.mlp_ratio", "544", "64"]),
        (["model.seeded=none", "model.mlp_ratio=260"], ["model.mlp_ratio", "66560", "66304"]),
        (
            ["model.window=0", "train.seq_len=65600", "train.batch_tokens=65600"],
            ["model.window", "65600", "65536"],
        ),
        (["model.seeded=all", "model.n_head=8", "model.n_kv_head=1"], ["model.n_kv_head", "32", "64"]),
        (["model.r=0"], ["model.r", "none"]),
        (["model.r=257"], ["model.r", "256"]),
        (["model.base_gain=0"], ["model.base_gain"]),
        (["model.window=513"], ["model.window", "512"]),
        (["train.batch_tokens=1000"], ["train.batch_tokens", "train.seq_len"]),
        (["train.max_seconds=0"], ["max_steps", "max_tokens", "max_seconds"]),
        (["data.val_fraction=1"], ["data.val_fraction"]),
        (["data.vocab_size=100"], ["data.vocab_size", "257"]),
        (["data.vocab_size=70000"], ["data.vocab_size", "65536"]),
        (
            ["model.memory_input=8", 'memory.kind="none"', 'mixer.kind="none"'],
            ["model.memory_input", "memory.kind"],
        ),
        (["model.memory_input=8", 'memory.fill="prequential"'], ["model.memory_input", "memory.fill"]),
        (["memory.folds=1"], ["memory.folds", "2"]),
        (["memory.kind=hashed", "memory.max_order=1"], ["memory.max_order", "2"]),
        (["memory.buckets=[64]"], ["memory.buckets", "hashed"]),
        (["memory.kind=hashed", "memory.max_order=4", "memory.buckets=[64]"], ["memory.buckets", "choose 3"]),
        (["memory.cap_bytes=5000000"], ["memory.cap_bytes", "pack.budget_bytes"]),
        (["mixer.kind=none"], ["mixer.kind", "memory.kind"]),
        (["eval.stride=513"], ["eval.stride", "512"]),
    ],
)
def test_keys_that_do_not_fit_together_are_named_with_the_fix(overrides: list[str], names: list[str]) -> None:
    message = refusal(*overrides)
    for name in names:
        assert name in message
    assert message.count("\n") == 0 and message.endswith(".")


def test_seeded_shapes_bind_only_what_is_seeded() -> None:
    """Keys 32 wide are no base's side when only the MLP is seeded."""
    config = apply_overrides(load_preset("demo"), ["model.n_head=8", "model.n_kv_head=1", "model.seeded=mlp"])
    assert config.model.n_kv_head == 1


def test_an_override_may_be_a_bare_word_or_toml() -> None:
    config = apply_overrides(
        Config(), ["model.seeded=all", 'memory.stored="text"', "train.max_steps = 1_000"]
    )
    assert (config.model.seeded, config.memory.stored, config.train.max_steps) == ("all", "text", 1000)


def test_the_last_of_two_overrides_wins() -> None:
    assert apply_overrides(Config(), ["train.seed=1", "train.seed=2"]).train.seed == 2


def test_overrides_that_fit_only_together_may_come_in_any_order() -> None:
    config = apply_overrides(Config(), ["train.batch_tokens=96", "train.seq_len=96", "model.window=0"])
    assert config.train.batch_tokens == config.train.seq_len == 96


@pytest.mark.parametrize("override", ["train.max_steps", "a.b.c=1", "=1", "train.=1"])
def test_an_override_that_is_not_one_is_refused_by_name(override: str) -> None:
    assert override in refusal(override)


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"demmo.*did you mean demo"):
        load_preset("demmo")


@pytest.mark.parametrize("content", [b"[train\n", b"\xff\xfe", None])
def test_a_file_that_is_not_toml_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken\.toml"):
        load_config(path)


def test_source_names_the_place_to_mend() -> None:
    with pytest.raises(ConfigError, match=r"^manifest of x: "):
        parse_config("[train]\nbatch_tokens = 1000\n", "manifest of x")


def test_a_wrong_value_in_a_list_is_shown_with_its_list() -> None:
    with pytest.raises(ConfigError, match=r"memory\.buckets is \[1, 2\], expected int >= 2 in each place\."):
        load_preset("demo", ["memory.buckets=[1,2]"])
