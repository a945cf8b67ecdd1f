"""The rules, one a file, named by their ids: a file of this folder is a rule, and its `RULE` says what it is."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from regrow.challenge.audit.rule import Rule

RULES: tuple[Rule, ...] = tuple(import_module(f"{__name__}.{m.name}").RULE for m in iter_modules(__path__))
