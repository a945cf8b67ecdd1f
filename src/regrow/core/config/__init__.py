"""The configuration of a run: every key (`schema`), what must fit together (`checks`), files and presets (`load`)."""
