"""Annotations: what may be in them, and a project's definitions with and without one.

As `definitions`, all of it is pure.
"""

import re
import secrets
from urllib.parse import urlsplit

import msgspec

from threadline.contract.definitions import Annotation, Definitions
from threadline.contract.times import Timestamp, format_ms
from threadline.questions.defined import added, invalid, one_of, removed

ANNOTATION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def put_annotation(definitions: Definitions, annotation: Annotation) -> Definitions:
    """With this annotation, in place of one of its id. Raises `InvalidPayload`."""
    found = checked_annotation(annotation)
    annotations = added(definitions.annotations, found.annotation_id, found)
    return definitions._replace(annotations=annotations)


def add_annotation(definitions: Definitions, annotation: Annotation) -> tuple[Definitions, str]:
    """With this annotation, and its id: its own, or that of one that says the same of the same
    time, or a new one. Whoever sends it twice has not made two notes. Raises `InvalidPayload`."""
    same = same_annotation(definitions, annotation)
    annotation_id = annotation.annotation_id or (same.annotation_id if same else new_id())
    link = annotation.link or (same.link if same else "")
    named = msgspec.structs.replace(annotation, annotation_id=annotation_id, link=link)
    return put_annotation(definitions, named), annotation_id


def new_id() -> str:
    """Of an annotation that came without one."""
    return f"note_{secrets.token_hex(6)}"


def same_annotation(definitions: Definitions, annotation: Annotation) -> Annotation | None:
    """The one that says the same of the same time. Raises `InvalidPayload`."""
    said = (checked_time(annotation.at), annotation.text.strip())
    there = definitions.annotations.values()
    return next((each for each in there if (each.at, each.text) == said), None)


def delete_annotation(definitions: Definitions, annotation_id: str) -> Definitions:
    """Without it. Raises `NotFound`."""
    one_of(definitions.annotations, annotation_id, "annotation")
    return definitions._replace(annotations=removed(definitions.annotations, annotation_id))


def checked_annotation(annotation: Annotation) -> Annotation:
    """As it is kept. Raises `InvalidPayload`."""
    if not ANNOTATION_ID.fullmatch(annotation.annotation_id):
        raise invalid("annotation_id", "write 1 to 64 letters, digits, _ and -")
    text = annotation.text.strip()
    if not text or not text.isprintable():
        raise invalid("text", "write what happened, on one line")
    if annotation.link and not _is_address(annotation.link):
        raise invalid("link", "write an address with http or https, such as https://shop.example/")
    return Annotation(
        annotation_id=annotation.annotation_id,
        at=checked_time(annotation.at),
        text=text,
        link=annotation.link,
    )


def checked_time(text: str) -> str:
    """A date, or a time in UTC. Raises `InvalidPayload`."""
    try:
        found = Timestamp.parse(text.strip())
    except ValueError as error:
        raise invalid("at", str(error)) from None
    return found.day.isoformat() if found.day else format_ms(found.ms)


def _is_address(link: str) -> bool:
    try:
        address = urlsplit(link)
    except ValueError:
        return False
    return address.scheme in ("http", "https") and bool(address.hostname) and link.isprintable()
