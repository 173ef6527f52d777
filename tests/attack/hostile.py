"""Bodies made to cost: for each field that a stranger can fill the shapes that hurt parsers.

A shape is a function from a size in characters to a text of about that size, different for each
`seed`, so that no cache helps. Fields say how large their text may be.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Shape = Callable[[int, int], str]
Event = dict[str, Any]


def repeated(piece: str, before: str = "", after: str = "") -> Shape:
    """The piece again and again; `{}` stands for the seed."""

    def shape(size: int, seed: int) -> str:
        start, one, end = (text.replace("{}", str(seed)) for text in (before, piece, after))
        return (start + one * (max(0, size - len(start) - len(end)) // len(one)) + end)[:size]

    return shape


TEXTS: dict[str, Shape] = {
    "letters": repeated("a", "{}"),
    "digits": repeated("1", "{}"),
    "card-like": repeated("4111 1111 1111 111 ", "{}?"),
    "card-like, packed": repeated("4=4111%201111%201111%201112&", "https://s.example/{}?"),
    "cards": repeated("4111111111111111-", "https://s.example/?n={}"),
    "numbers by spaces": repeated("1 2 3 4 5 6 7 8 9 0 1 2 x", "{}"),
    "mail-like": repeated("a@", "{}"),
    "mail-like with dots": repeated("a@a.", "{}"),
    "mail-like without end": repeated("a-", "{}a@"),
    "mail with labels": repeated("b.", "{}a@"),
    "mail in the path": repeated("a@/", "https://s.example/{}"),
    "mails in the query": repeated("a=b@c.de&", "https://s.example/{}?"),
    "escaped percent": repeated("25", "https://s.example/?a={}%"),
    "escaped mail": repeated("%252540", "https://s.example/?a={}"),
    "escaped everything": repeated("%61", "https://s.example/{}?a="),
    "labels": repeated("a.", "https://{}."),
    "labels and a path": repeated("a.", "https://{}.", "/x"),
    "long labels": repeated("abcdefghij.", "https://{}."),
    "digits as labels": repeated("1.", "https://{}."),
    "brackets as host": repeated(":", "https://[{}", "]/"),
    "unicode host": repeated("ü.", "https://{}."),
    "parameters": repeated("a=&", "https://s.example/{}?"),
    "parameters with values": repeated("a=b&", "https://s.example/{}?"),
    "names without values": repeated("&", "https://s.example/{}?"),
    "different names": lambda size, seed: (
        f"https://s.example/{seed}?" + "&".join(f"{i:x}=1" for i in range(size))
    )[:size],
    "utm again and again": repeated("utm_source=a&", "https://s.example/{}?"),
    "plus": repeated("+", "https://s.example/{}?a="),
    "semicolons": repeated(";", "https://s.example/{}?a"),
    "hashes": repeated("#", "https://s.example/{}"),
    "hash parameters": repeated("?a=b", "https://s.example/{}#"),
    "slashes": repeated("/", "https://s.example/{}"),
    "colons": repeated(":", "{}"),
    "schemes": repeated("http://", "{}"),
    "sites in a copy": repeated("/v/", "https://{}.cdn.ampproject.org"),
    "labels in a copy": repeated("a.", "https://web.archive.org/web/{}/https://"),
    "copies of caches": repeated("cache:", "https://webcache.googleusercontent.com/search?q={}"),
    "dashes of a copy": repeated("a-", "https://{}", ".cdn.ampproject.org/"),
    "sign-ins below each other": repeated("/dialog", "https://facebook.com/{}", "/dialog/oauth"),
    "products below each other": repeated("/maps", "https://www.google.com/{}"),
    "labels of a bank": repeated("acs-", "https://{}", ".example/"),
    "words of a medium": lambda size, seed: (
        f"https://s.example/{seed}?utm_medium=" + "-".join(f"{i:x}" for i in range(size))
    )[:size],
    "words of a source": lambda size, seed: (
        f"https://s.example/{seed}?utm_source=" + "+".join(f"{i:x}" for i in range(size))
    )[:size],
    "escaped again and again": repeated("amp;", "https://s.example/{}?a=b&"),
    "escaped parameters": repeated("amp;a=b&", "https://s.example/{}?"),
    "ids of all networks": repeated("gclid=1&awc=1&_kx=1&", "https://s.example/{}?"),
    "apps": repeated("a.", "android-app://{}."),
    "tokens": repeated("eyJa.", "https://s.example/?a={}"),
    "long tokens": repeated("eyJaaaa", "https://s.example/?a={}"),
    "key-like": repeated("sk_live_", "https://s.example/?a={}"),
    "google keys": repeated("AIza", "https://s.example/?a={}"),
    "dashes": repeated("-", "https://s.example/{}?a=a@"),
    "spaces": repeated(" ", "{}"),
    "tabs and lines": repeated("\t\n", "https://s.example/{}"),
    "nulls": repeated("\0", "https://s.example/{}"),
    "quotes": repeated('"', "{}"),
    "backslashes": repeated("\\", "{}"),
    "wide": repeated("😀", "{}"),
    "agent-like": repeated("Mozilla/5.0 (", "{}"),
    "bot-like": repeated("bo ", "{}"),
    "agent of a bot": repeated("a", "Googlebot/{} "),
    "braces": repeated("(", "{}"),
    "versions": repeated("Chrome/1.", "{}"),
}

# Of each field the largest text.
FIELDS = {
    "url": 2048,
    "referrer": 2048,
    "path": 2048,
    "user_agent": 2048,
    "event": 128,
    "event_id": 128,
    "anonymous_id": 128,
    "user_id": 256,
    "session_id": 128,
    "timestamp": 64,
    "ip": 64,
    "unheard_of": 2048,
}


def nested(opening: str, closing: str, levels: int) -> str:
    return opening * levels + closing * levels


# JSON as it stands in the body, of about so many characters.
JSONS: dict[str, Callable[[int], str]] = {
    "deep lists": lambda size: '{"a":' + nested("[", "]", size // 2 - 4) + "}",
    "deep objects": lambda size: '{"a":' * (size // 6) + "1" + "}" * (size // 6),
    "as deep as may be": lambda size: '{"a":' + nested("[", "]", 30) + "}",
    "many lists": lambda size: '{"a":[' + ",".join(["[]"] * (size // 3 - 4)) + "]}",
    "many deep lists": lambda size: (
        '{"a":[' + ",".join([nested("[", "]", 20)] * (size // 41 - 1)) + "]}"
    ),
    "many objects": lambda size: '{"a":[' + ",".join(["{}"] * (size // 3 - 4)) + "]}",
    "many names": lambda size: "{" + ",".join(f'"{i:x}":1' for i in range(size // 8)) + "}",
    "same name": lambda size: "{" + ",".join(['"a":1'] * (size // 6)) + "}",
    "numbers": lambda size: '{"a":[' + ",".join(["1"] * (size // 2 - 4)) + "]}",
    "large numbers": lambda size: '{"a":' + "9" * (size - 7) + "}",
    "exponents": lambda size: '{"a":[' + ",".join(["1e999"] * (size // 6 - 2)) + "]}",
    "brackets in text": lambda size: '{"a":"' + "[{" * (size // 2 - 5) + '"}',
    "escapes": lambda size: '{"a":"' + "\\u0061" * (size // 6 - 2) + '"}',
    "half surrogates": lambda size: '{"a":"' + "\\ud83d" * (size // 6 - 2) + '"}',
    "escaped quotes": lambda size: '{"a":"' + '\\"[' * (size // 3 - 3) + '"}',
    "spaces": lambda size: "{" + " " * (size - 2) + "}",
    "wrong": lambda size: "[" + ",".join(["[]"] * (size // 3 - 1)) + "]",
}


class Hostile(NamedTuple):
    """A body and what it is made of."""

    name: str
    body: bytes


def ordinary(size: int, seed: int = 0) -> bytes:
    """A batch of so many bytes as pages and servers send them: the measure of all others."""
    events = min(1000, size // 480)
    room = size // events - 480
    made = [
        {
            "event": "$pageview",
            "event_id": f"01988c3e-6c0e-7{i:03x}-8000-{i:012x}",
            "timestamp": f"2026-05-01T10:{i % 60:02}:{i // 60 % 60:02}.000Z",
            "anonymous_id": f"3f2b8c1e-0000-4000-8000-{i % 250:012x}",
            "url": f"https://shop.example/{seed}/products/{i}?utm_source=news&utm_medium=email&page={i}",
            "path": f"/products/{i}",
            "referrer": f"https://www.google.com/search?q={seed}+{i}",
            "properties": {"title": f"Product {i}", "price": i / 7, "text": "x" * max(0, room)},
        }
        for i in range(events)
    ]
    return json.dumps({"events": made}).encode()


def bodies(size: int) -> Iterator[Hostile]:
    """Batches of at most so many bytes: of each field each shape, in all events."""
    for field, longest in FIELDS.items():
        for name, shape in TEXTS.items():
            count = min(1000, size // (len(json.dumps(shape(longest, 0))) + 40) + 1)
            events = [{"event": "e", field: shape(longest, seed)} for seed in range(count)]
            yield Hostile(f"{field}: {name}", _cut(events, size))
    for field in ("properties", "unheard_of"):
        for name, make in JSONS.items():
            one = f'{{"event":"e","{field}":{make(8000)}}}'
            count = max(1, min(1000, size // (len(one) + 1)))
            body = '{"events":[' + ",".join([one] * count) + "]}"
            yield Hostile(f"{field}: {name}", body.encode())
    for name, make in JSONS.items():
        yield Hostile(f"whole body: {name}", make(size).encode())
        yield Hostile(f"events: {name}", b'{"events":' + make(size - 20).encode() + b"}")
        yield Hostile(
            f"an unheard-of field: {name}",
            b'{"events":[{"event":"e"}],"x":' + make(size - 40).encode() + b"}",
        )
    small = b'{"event":"e"}'
    yield Hostile("too many events", b'{"events":[' + b",".join([small] * (size // 15)) + b"]}")
    yield Hostile("too many numbers as events", b'{"events":[' + b"1," * (size // 2 - 8) + b"1]}")
    bad = b'{"event":1,"properties":{"a":[' + b"[]," * 2000 + b"1]}}"
    last_bad = [small] * 999 + [bad]
    yield Hostile("the last is bad", b'{"events":[' + b",".join(last_bad) + b"]}")


def _cut(events: list[Event], size: int) -> bytes:
    body = json.dumps({"events": events}).encode()
    while len(body) > size and len(events) > 1:
        events = events[: max(1, len(events) * size // len(body))]
        body = json.dumps({"events": events}).encode()
    return body
