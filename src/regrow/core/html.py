"""Pages that need nothing else: one file, its style and script in it, every text of the values escaped."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any


def render(package: str, name: str, **values: Any) -> str:
    """The page that `name`.html, `name`.css and `name`.js in the folder templates of `package` make of `values`.

    The template finds in `head` the style that all pages share, its own, and the policy: the page's script
    runs and no other, whatever the values hold, and nothing is fetched from anywhere.
    """
    import jinja2
    from markupsafe import Markup

    def template(file: str) -> str:
        return (resources.files(package) / "templates" / file).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shared = (resources.files("regrow.core") / "page.css").read_text(encoding="utf-8")
    script = template(f"{name}.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; "
    head = f"""<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>
{shared}{template(f"{name}.css")}</style>"""
    return environment.get_template(f"{name}.html").render(head=Markup(head), script=Markup(script), **values)
