"""What events of before have of user agents, and what they are to have.

The agent of a server was taken for a visitor's: its library for a browser, and its events for a
bot's. What ua-parser calls browsers and systems was stored as it is. Agents are not stored, so
nothing else of them can be found anew: a bot that was taken for a person stays one.
"""

from threadline.enrich import browser_word, os_word
from threadline.ingest.steps import SCREEN
from threadline.store import Row

# Without a page and without a visitor's agent; what stands there of one is the sender's own. The
# device of a bot was called so, and that of a library nothing.
SENDERS_OWN = "(url = '' AND referrer = '' AND device_type IN ('', 'bot'))"
OFF_PAGE = f"({SENDERS_OWN} AND event_name != '{SCREEN}')"

# Of some events, what their browsers and systems are called.
OLD_WORDS = """arraySort(groupUniqArray(toString(browser))) AS browsers,
        arraySort(groupUniqArray(toString(os))) AS systems"""


def _new(column: str, old: str, new: str) -> str:
    words = f"transform(toString({column}), {{{old}:Array(String)}}, {{{new}:Array(String)}}"
    return f"{words}, toString({column}))"


# What a column is to be, whatever it is now.
NEW = {
    "device_type": "if(device_type = 'bot', 'other', toString(device_type))",
    "browser": _new("browser", "browsers", "browser_words"),
    "os": _new("os", "systems", "system_words"),
}
MENDED = {name: f"if({SENDERS_OWN}, '', {new})" for name, new in NEW.items()}

# Assignments. `is_bot` is among them for all, because in parts of before there was such a column it
# follows from the device.
AGENT_WRITES = ", ".join(
    [
        f"is_bot = is_bot AND NOT {SENDERS_OWN}",
        *(f"{name} = {mended}" for name, mended in MENDED.items()),
    ]
)
IS_REWORDED = " OR ".join(f"{name} != {mended}" for name, mended in MENDED.items())


def words(month: Row) -> dict[str, object]:
    """Parameters: today's words for each of `OLD_WORDS`."""
    browsers, systems = month["browsers"], month["systems"]
    return {
        "browsers": browsers,
        "browser_words": list(map(browser_word, browsers)),
        "systems": systems,
        "system_words": list(map(os_word, systems)),
    }
