"""A page as its elements, for tests of pages."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "input", "br", "link", "img"}


class Page(HTMLParser):
    """Elements, attributes and text of a page; `faults` lists end tags that close no or the wrong element."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words, self.script, self.style = "", "", ""
        self.faults: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if inside == "script":
            self.script += data
        elif inside == "style":
            self.style += data
        else:
            self.words += data

    def all(self, tag: str, kind: str = "") -> list[dict[str, str]]:
        """Attributes of every such element, of one class if `kind` is given."""
        return [a for t, a in self.elements if t == tag and (not kind or kind in a.get("class", "").split())]

    def is_complete(self) -> bool:
        """Whether every element that was opened is closed, in order, and nothing is loaded from anywhere."""
        loads = [a for _, a in self.elements if "src" in a or not a.get("href", "#").startswith("#")]
        closed = not self.faults and not self._open
        return closed and not loads and not any(map(self.all, ("link", "img", "iframe")))
