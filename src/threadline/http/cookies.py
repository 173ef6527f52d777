"""Cookies of the dashboard: one for the session, one for the way to an identity provider and back.

Scripts cannot read them, and other sites' requests do not carry them but for links.
"""

from threadline.control.access import SESSION_MS
from threadline.http.request import Request

SESSION = "threadline_session"
MAX_LENGTH = 128


def read_cookie(request: Request, name: str) -> str:
    """Its value, or nothing. Where a browser sends several, the last."""
    text = request.header("cookie")
    if name not in text:
        return ""
    for part in reversed(text.split(";")):
        found, _, value = part.strip().partition("=")
        if found == name:
            return value if len(value) <= MAX_LENGTH else ""
    return ""


def session_cookie(request: Request, token: str) -> tuple[bytes, bytes]:
    """The header that keeps a session; without a token, that ends it."""
    return set_cookie(request, SESSION, token, "/", SESSION_MS // 1000 if token else 0)


def set_cookie(
    request: Request, name: str, value: str, path: str, seconds: int
) -> tuple[bytes, bytes]:
    """`path`: of ours, below which it is sent. 0 seconds: away with it."""
    secure = "; Secure" if request.is_https else ""
    below = f"{request.root_path}{path}"
    text = f"{name}={value}; Path={below}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    return b"set-cookie", text.encode("latin-1")
