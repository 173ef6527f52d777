"""Signing in by OpenID Connect: the authorization code flow, with PKCE, state and nonce.

The provider is found by its discovery document. All of this waits for another server, so it is
done beside the event loop.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, urlopen

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from threadline.settings import Settings
from threadline.settings_files import SettingsError

WELL_KNOWN = "/.well-known/openid-configuration"
SCOPE = "openid email profile"
# Signed by the provider's own key. With HS256 it would be by our secret, which a public client has
# not, and `none` is nobody's signature.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
LOOPBACK = ("127.0.0.1", "::1", "localhost")

TIMEOUT_S = 10.0
MAX_BYTES = 1024 * 1024
# Documents are read again after this long, and keys at once where one is missing, but not oftener.
FRESH_S, AGAIN_S = 3600.0, 10.0
# To sign in over there takes a person no longer.
PENDING_S = 600.0
MAX_PENDING = 10_000
LEEWAY_S = 60


class OidcError(Exception):
    """Nobody is signed in. `code`: what the dashboard is told; the message is for the log."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Pending(NamedTuple):
    """Somebody who was sent to the provider. `to`: the page to come back to."""

    nonce: str
    verifier: str
    redirect_uri: str
    to: str
    since_s: float


class Identity(NamedTuple):
    """Who the provider says it is. The e-mail address is theirs: the provider has verified it."""

    email: str
    name: str


class Oidc:
    """One provider. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingsError` for settings that cannot be right."""
        self._client_id, self._secret = settings.oidc_client_id, settings.oidc_client_secret
        issuer = settings.oidc_issuer
        self._discovery = issuer if issuer.endswith(WELL_KNOWN) else issuer.rstrip("/") + WELL_KNOWN
        if not self._client_id:
            raise SettingsError(
                "THREADLINE_OIDC_ISSUER is set and THREADLINE_OIDC_CLIENT_ID is not; set both, or "
                "none of them."
            )
        if not _is_safe(issuer):
            raise SettingsError(
                f"THREADLINE_OIDC_ISSUER={issuer}: write an address that begins with https://."
            )
        self.name = settings.oidc_name or str(urlsplit(issuer).hostname)
        self.domains = frozenset(
            domain.strip().lower().lstrip("@")
            for domain in settings.oidc_domains.split(",")
            if domain.strip()
        )
        self._pending_lock, self._reading = threading.Lock(), threading.Lock()
        self._pending: dict[str, Pending] = {}
        self._read: dict[str, tuple[float, Mapping[str, Any]]] = {}
        self._failed: dict[str, float] = {}

    def start(self, redirect_uri: str, to: str) -> tuple[str, str]:
        """The provider's page to go to, and the state, for a cookie of the browser that goes.
        Raises `OidcError`."""
        provider = self._provider()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        now = time.monotonic()
        with self._pending_lock:
            while self._pending and (
                len(self._pending) >= MAX_PENDING
                or now - next(iter(self._pending.values())).since_s > PENDING_S
            ):
                del self._pending[next(iter(self._pending))]
            self._pending[state] = Pending(nonce, verifier, redirect_uri, to, now)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        page = str(provider["authorization_endpoint"])
        return f"{page}{'&' if '?' in page else '?'}{urlencode(query)}", state

    def come_back(self, state: str, of_browser: str) -> Pending:
        """Who comes back with this state, once. `of_browser`: the cookie's. Raises `OidcError`."""
        with self._pending_lock:
            pending = self._pending.pop(state, None)
        mine = secrets.compare_digest(state.encode(), of_browser.encode())
        if not pending or not mine or time.monotonic() - pending.since_s > PENDING_S:
            raise OidcError(
                "oidc_expired", "the way there and back took too long, or began nowhere"
            )
        return pending

    def identity(self, code: str, pending: Pending) -> Identity:
        """Who the code stands for. Raises `OidcError`."""
        tokens = self._exchange(code, pending)
        claims = self._claims(str(tokens.get("id_token", "")), pending.nonce)
        if "email" not in claims:
            claims = {**self._userinfo(tokens, str(claims["sub"])), **claims}
        email = claims.get("email")
        if not isinstance(email, str) or claims.get("email_verified") not in (True, "true"):
            raise OidcError("oidc_no_email", "the provider names no e-mail address it has verified")
        name = claims.get("name")
        return Identity(email, name if isinstance(name, str) else "")

    # -- what the provider says -----------------------------------------------------------------

    def _provider(self) -> Mapping[str, Any]:
        found = self._document(self._discovery)
        issuer = str(found.get("issuer", ""))
        if issuer.rstrip("/") != self._discovery.removesuffix(WELL_KNOWN).rstrip("/"):
            raise OidcError("oidc_unavailable", f"the discovery document is of {issuer!r}")
        for name in ENDPOINTS:
            if not _is_safe(str(found.get(name, ""))):
                raise OidcError(
                    "oidc_unavailable", f"the discovery document has no {name} by https"
                )
        return found

    def _exchange(self, code: str, pending: Pending) -> Mapping[str, Any]:
        provider = self._provider()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": pending.redirect_uri,
            "client_id": self._client_id,
            "code_verifier": pending.verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        ways = provider.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if self._secret and "client_secret_basic" in ways:
            pair = f"{quote(self._client_id, safe='')}:{quote(self._secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif self._secret:
            form["client_secret"] = self._secret
        return _ask(str(provider["token_endpoint"]), headers, urlencode(form).encode())

    def _claims(self, token: str, nonce: str) -> Mapping[str, Any]:
        """Of a token that this provider made for us, and for this way there and back."""
        try:
            claims = self._verified(token)
        except (JoseError, ValueError, KeyError) as error:
            raise OidcError("oidc_refused", f"the id_token is not valid: {error}") from None
        given = str(claims.get("nonce", ""))
        if not secrets.compare_digest(given.encode(), nonce.encode()):
            raise OidcError("oidc_refused", "the id_token is of another sign-in")
        return claims

    def _verified(self, token: str) -> Mapping[str, Any]:
        provider = self._provider()
        keys_at = str(provider["jwks_uri"])
        try:
            decoded = jwt.decode(token, self._keys(keys_at), algorithms=ALGORITHMS)
        except (JoseError, ValueError):
            # The provider may have changed its keys since.
            decoded = jwt.decode(token, self._keys(keys_at, AGAIN_S), algorithms=ALGORITHMS)
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": provider["issuer"]},
            aud={"essential": True, "value": self._client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        registry.validate(decoded.claims)
        audience, authorized = decoded.claims["aud"], decoded.claims.get("azp")
        several = isinstance(audience, list) and len(audience) > 1
        if authorized != self._client_id and (several or authorized is not None):
            raise ValueError("it was made for another client")
        return decoded.claims

    def _keys(self, url: str, fresh_s: float = FRESH_S) -> KeySet:
        return KeySet.import_key_set(dict(self._document(url, fresh_s)))  # type: ignore[arg-type]

    def _userinfo(self, tokens: Mapping[str, Any], subject: str) -> Mapping[str, Any]:
        url = str(self._provider().get("userinfo_endpoint", ""))
        if not _is_safe(url):
            return {}
        found = _ask(url, {"Authorization": f"Bearer {tokens.get('access_token', '')}"})
        if found.get("sub") != subject:
            raise OidcError("oidc_refused", "the userinfo is somebody else's")
        return found

    def _document(self, url: str, fresh_s: float = FRESH_S) -> Mapping[str, Any]:
        """Read at most so often; one that cannot be had is not asked for again at once."""
        with self._reading:
            now = time.monotonic()
            read_s, found = self._read.get(url, (0.0, {}))
            if found and now - read_s < fresh_s:
                return found
            if now - self._failed.get(url, -AGAIN_S) < AGAIN_S:
                raise OidcError("oidc_unavailable", f"{url} could not be read a moment ago")
            try:
                found = _ask(url)
            except OidcError:
                self._failed[url] = now
                raise
            self._read[url] = now, found
            return found


def _is_safe(url: str) -> bool:
    """By https, or on this very machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def _ask(url: str, headers: Mapping[str, str] = {}, body: bytes | None = None) -> Mapping[str, Any]:
    """A JSON object. Raises `OidcError`, which never has what was sent."""
    request = Request(url, body, {"Accept": "application/json", **headers})
    try:
        with urlopen(request, timeout=TIMEOUT_S) as reply:
            found = json.loads(reply.read(MAX_BYTES))
    except HTTPError as error:
        with error:
            code = "oidc_refused" if error.code < 500 and body else "oidc_unavailable"
            raise OidcError(code, f"{url} answers {error.code}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise OidcError("oidc_unavailable", f"{url} does not answer: {error}") from None
    if not isinstance(found, dict):
        raise OidcError("oidc_unavailable", f"{url} does not answer with a JSON object")
    return found
