"""The interpreter of the static audit: what flows where in a script, without running it."""
