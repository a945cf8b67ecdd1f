"""How the codec's predictor adapts: the keys of [eval] that a stream carries."""

from __future__ import annotations

from collections.abc import Sequence

from regrow.core.config.load import apply_overrides
from regrow.core.config.schema import Config
from regrow.core.errors import ConfigError
from regrow.predict.stream import AdaptiveSettings


def adaptive_settings(config: Config, adapt: bool | str | Sequence[str] = True) -> AdaptiveSettings:
    """Those that [eval] of `config` describes, or with overrides such as ["eval.adapt_orders=3"].

    Training weights on the text (eval.ttt) is float arithmetic, which other machines cannot repeat: streams leave it
    out. Raises ConfigError for an override of another section: an artifact's network and memory are what they are.
    """
    overrides = eval_overrides(adapt)
    e = (apply_overrides(config, overrides) if overrides else config).eval
    return AdaptiveSettings(e.adapt_streams, e.adapt_orders, e.adapt_tokens)


def eval_overrides(adapt: bool | str | Sequence[str]) -> list[str]:
    """The overrides, each of a key of [eval]. Raises ConfigError."""
    overrides = [] if isinstance(adapt, bool) else [adapt] if isinstance(adapt, str) else list(adapt)
    for override in overrides:
        if not override.strip().startswith("eval."):
            raise ConfigError(
                f"--set {override}: only keys of [eval] can be set here, for instance eval.ttt=none."
            )
    return overrides
