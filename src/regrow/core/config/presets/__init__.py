"""Presets as data: one TOML file each, read through `regrow.core.config.load_preset`."""
