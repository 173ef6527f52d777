"""`/v1/auth/oidc/…`: to the identity provider, and back with somebody who is signed in.

Browsers follow these as links, so what goes wrong leads back to the dashboard, which says it.
"""

from functools import partial
from urllib.parse import parse_qs, quote

import structlog

from threadline.contract.errors import ApiError, InvalidPayload, NotFound
from threadline.control import Member
from threadline.control.access import read_email
from threadline.http.answers import Answer
from threadline.http.changing import write_control
from threadline.http.cookies import read_cookie, session_cookie, set_cookie
from threadline.http.dashboard import ROOT
from threadline.http.doc import Doc
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.http.sign_in import device
from threadline.http.signed_in import TAG
from threadline.runtime.oidc import PENDING_S, Identity, Oidc, OidcError

PATH = "/v1/auth/oidc"
STATE = "threadline_oidc"
_logger = structlog.get_logger("threadline.oidc")


async def start(request: Request) -> Answer:
    """Raises `NotFound` where there is no provider."""
    oidc = _oidc(request)
    to = parse_qs(request.query).get("to", [""])[0]
    redirect_uri = f"{request.base_url}{PATH}/callback"
    try:
        page, state = await request.services.beside_provider(
            partial(oidc.start, redirect_uri, _own_page(request, to))
        )
    except OidcError as error:
        return _back(request, error)
    cookie = set_cookie(request, STATE, state, PATH, int(PENDING_S))
    return _redirect(page, cookie)


async def callback(request: Request) -> Answer:
    oidc, control = _oidc(request), request.services.control
    given = {name: values[0] for name, values in parse_qs(request.query).items()}
    try:
        pending = oidc.come_back(given.get("state", ""), read_cookie(request, STATE))
        if "code" not in given:
            raise OidcError("oidc_denied", f"the provider says {given.get('error', 'nothing')!r}")
        found = await request.services.beside_provider(
            partial(oidc.identity, given["code"], pending)
        )
        member = await write_control(partial(_member, request, oidc, found))
        signed = await write_control(partial(control.sign_in, member, "oidc", device(request)))
    except OidcError as error:
        return _back(request, error)
    except ApiError as error:
        return _back(request, OidcError("oidc_unavailable", str(error)))
    request.services.metrics.sign_ins.labels("succeeded").inc()
    answered = _redirect(pending.to, session_cookie(request, signed.token))
    answered.headers.append(set_cookie(request, STATE, "", PATH, 0))
    return answered


def _member(request: Request, oidc: Oidc, found: Identity) -> Member:
    """Whose e-mail address it is; somebody new where their domain may. Raises `OidcError`."""
    control = request.services.control
    try:
        email = read_email(found.email)
    except InvalidPayload as error:
        raise OidcError("oidc_no_email", str(error)) from None
    for member in control.members():
        if member.email == email:
            return member
    if email.rpartition("@")[2] not in oidc.domains or not control.members():
        raise OidcError("oidc_not_invited", "no member has this e-mail address")
    member = control.add_member(email, _printable(found.name), "viewer")
    _logger.info("member_added", member_id=member.member_id, by="oidc", role=member.role)
    return member


def _printable(name: str) -> str:
    return "".join(letter for letter in name if letter.isprintable())[:100]


def _own_page(request: Request, to: str) -> str:
    """A page of the dashboard, whatever somebody wrote into a link."""
    root = f"{request.root_path}{ROOT}/"
    own = to.startswith(root) and to.isascii() and to.isprintable() and "\\" not in to
    return to if own else root


def _oidc(request: Request) -> Oidc:
    if oidc := request.services.oidc:
        return oidc
    raise NotFound(
        "Nobody signs in by OpenID Connect here: the setting THREADLINE_OIDC_ISSUER is empty."
    )


def _back(request: Request, error: OidcError) -> Answer:
    _logger.warning("oidc_sign_in_failed", code=error.code, reason=str(error))
    request.services.metrics.sign_ins.labels("failed").inc()
    cookie = set_cookie(request, STATE, "", PATH, 0)
    return _redirect(f"{request.root_path}{ROOT}/?sign_in_error={quote(error.code)}", cookie)


def _redirect(to: str, cookie: tuple[bytes, bytes]) -> Answer:
    headers = [(b"location", to.encode("latin-1")), (b"cache-control", b"no-store"), cookie]
    return Answer(302, headers, b"")


def _doc(summary: str) -> Doc:
    return Doc(
        summary=summary,
        tag=TAG,
        answer=str,
        status=302,
        media_types=("text/plain",),
        errors=(NotFound,),
    )


ROUTES = [
    Route("GET", f"{PATH}/start", start, _doc("Sign in by OpenID Connect: to the provider")),
    Route("GET", f"{PATH}/callback", callback, _doc("And back from there")),
]
