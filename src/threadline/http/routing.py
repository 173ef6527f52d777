"""The table of routes: which handler takes which path and method."""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from threadline.contract.errors import MethodNotAllowed, NotFound
from threadline.http.answers import Answer
from threadline.http.doc import Doc
from threadline.http.request import Request

Handler = Callable[[Request], Awaitable[Answer]]
PART = re.compile(r"\\\{(\w+)(\\\*)?\\\}")


class Route(NamedTuple):
    """`path`: parts in braces match anything but a slash; with a star, slashes, too. `doc`: None
    for what nobody has to know of, which takes no key."""

    method: str
    path: str
    handle: Handler
    doc: Doc | None = None


class FoundRoute(NamedTuple):
    """A route and the parts of the path that it names, still percent-encoded."""

    route: Route
    in_path: dict[str, str]


ByMethod = dict[str, Route]


class Routes:
    """All of them. Paths without braces are found first, at the price of a dictionary."""

    def __init__(self, routes: Iterable[Route], root_path: str = "") -> None:
        """`root_path`: what browsers have before all of them."""
        self._reference = f"{root_path}/docs/api/"
        self.listed = list(routes)
        self._plain: dict[str, ByMethod] = {}
        self._patterns: list[tuple[re.Pattern[str], ByMethod]] = []
        by_path: dict[str, ByMethod] = {}
        for route in self.listed:
            by_path.setdefault(route.path, {})[route.method] = route
        for path, by_method in by_path.items():
            if "{" not in path:
                self._plain[path] = by_method
                continue
            pattern = PART.sub(_part, re.escape(path))
            self._patterns.append((re.compile(pattern), by_method))

    def find(self, path: str, method: str) -> FoundRoute:
        """Raises `NotFound`, or `MethodNotAllowed` with those that the path takes."""
        by_method, in_path = self._at(path)
        if not by_method:
            raise NotFound(f"There is no route {path}; see {self._reference}.")
        if method not in by_method:
            allowed = _allowed(by_method)
            raise MethodNotAllowed(
                f"{path} does not take {method}; it takes {', '.join(allowed)}.", allowed
            )
        return FoundRoute(by_method[method], in_path)

    def methods(self, path: str) -> list[str]:
        """What a path can be asked by, for `Allow` (RFC 9110, 10.2.1)."""
        by_method, _ = self._at(path)
        return _allowed(by_method) if by_method else ["GET", "HEAD", "OPTIONS"]

    def _at(self, path: str) -> tuple[ByMethod, dict[str, str]]:
        if path in self._plain:
            return self._plain[path], {}
        for pattern, by_method in self._patterns:
            if match := pattern.fullmatch(path):
                return by_method, match.groupdict()
        return {}, {}


def _part(found: re.Match[str]) -> str:
    return f"(?P<{found[1]}>{'.+' if found[2] else '[^/]+'})"


def _allowed(by_method: ByMethod) -> list[str]:
    return [*by_method, *(["HEAD"] if "GET" in by_method else []), "OPTIONS"]
