"""Presets as data: one TOML file each, read through `regrow.config.load_preset`."""
