"""The limited child: started as a script, it first gives up its rights and then serves one job.

Started by `sandbox.Child`; its only argument is a JSON object with the job, the pipes and the limits.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Give up rights, say which, then serve."""
    job = json.loads(sys.argv[1])
    sys.path[:0] = job["python_path"]
    from regrow.challenge.audit.sandbox.confine import confine
    from regrow.challenge.audit.sandbox.wire import send

    cpu_seconds, memory_bytes, file_bytes = job["limits"]
    said = confine(
        job["scratch"], [*job["readable"], *job["python_path"]],
        cpu_seconds=cpu_seconds, memory_bytes=memory_bytes, file_bytes=file_bytes,
    )  # fmt: skip
    send(job["answers"], {"confined": said})
    if job["task"] == "shim":
        from regrow.challenge.audit.sandbox.shim import serve

        serve(job["path"], job["beside"], job["requests"], job["answers"])
    elif job["task"] == "smoke":
        from regrow.challenge.audit.sandbox.smoke_child import smoke_child

        smoke_child(job["path"], job["answers"])


if __name__ == "__main__":
    main()
