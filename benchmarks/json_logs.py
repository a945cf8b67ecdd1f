"""A made-up log of a small web service as JSON lines, the same for a seed everywhere: what each kind of line holds
depends on its service, status follows path, and time goes on. It stands in for logs that nobody may publish; bench
records takes a real one with --train FILE."""

from __future__ import annotations

import datetime
import json
import random
from typing import Any

_START = datetime.datetime(2026, 3, 2, 6, 0, 0)
_PATHS = (
    "/", "/login", "/logout", "/search", "/cart", "/cart/items", "/checkout", "/orders", "/account", "/static/app.js",
    "/static/site.css", "/favicon.ico", "/health", "/metrics", "/api/v1/prices", "/api/v1/stock",
)  # fmt: skip
_HOSTS = ("web-1", "web-2", "web-3")
_JOBS = ("mail", "thumbnails", "invoices", "index", "cleanup")
_TABLES = ("users", "orders", "items", "prices", "sessions")


def json_log(lines: int, seed: int = 1) -> list[bytes]:
    """So many lines, without their newlines."""
    chance = random.Random(seed)
    seconds, found = 0.0, []
    for _ in range(lines):
        seconds += chance.expovariate(0.25)
        moment = _START + datetime.timedelta(seconds=int(seconds))
        kind = chance.random()
        event = _request(chance) if kind < 0.6 else _job(chance) if kind < 0.8 else _query(chance)
        line = {"ts": moment.isoformat() + "Z", **event}
        found.append(json.dumps(line, separators=(",", ":")).encode())
    return found


def _request(chance: random.Random) -> dict[str, Any]:
    # Few paths have most of the requests, and a path's answers are mostly alike.
    path = _PATHS[min(int(chance.expovariate(0.35)), len(_PATHS) - 1)]
    status = 200 if chance.random() < 0.94 else chance.choice((302, 304, 404, 500))
    level = "error" if status == 500 else "info"
    return {
        "level": level, "service": "web", "host": chance.choice(_HOSTS), "msg": "request", "method": "POST"
        if path in ("/login", "/checkout") else "GET", "path": path, "status": status,
        "ms": int(chance.lognormvariate(2.3, 0.6)),
    }  # fmt: skip


def _job(chance: random.Random) -> dict[str, Any]:
    job = chance.choice(_JOBS)
    if chance.random() < 0.95:
        level, said = "info", {"msg": "job done", "items": int(chance.expovariate(0.2))}
    else:
        level, said = "warn", {"msg": "job failed, will be tried again", "attempt": 1}
    return {"level": level, "service": "worker", "job": job, **said}


def _query(chance: random.Random) -> dict[str, Any]:
    table = chance.choice(_TABLES)
    slow = chance.random() < 0.05
    return {
        "level": "warn" if slow else "debug", "service": "db", "table": table,
        "msg": "slow query" if slow else "query", "rows": 1 if chance.random() < 0.7 else int(chance.expovariate(0.05)),
    }  # fmt: skip
