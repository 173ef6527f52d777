"""A small OpenID Connect provider on loopback: whoever comes is signed in at once, as whom the test
says, and what it answers can be wrong in every way that a client has to notice."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "threadline", "s3cret & more"
Json = dict[str, Any]


class Provider:
    """`person`: the claims about who comes. `spoil`: what is done to the claims of a token."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.person: Json = {}
        self.in_userinfo: Json = {}
        self.spoil: Callable[[Json], Json] = lambda claims: claims
        self.signed_by = self.key
        self.algorithm = "RS256"
        self.down = False
        self.ways = ["client_secret_basic"]
        self.asked: list[str] = []
        self._codes: dict[str, Json] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def authorize(self, page: str) -> str:
        """Where the browser is sent after it was at this page; the person agrees."""
        asked = dict(parse_qsl(urlsplit(page).query))
        assert page.startswith(f"{self.url}/authorize?")
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = f"code-{len(self._codes)}"
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}"

    def _token(self, form: Json, authorization: str) -> tuple[int, Json]:
        asked = self._codes.pop(form.get("code", ""), None)
        verified = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verified).rstrip(b"=").decode()
        if "client_secret_basic" in self.ways:
            pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
            who = [unquote(part) for part in pair.split(":")]
        else:
            who = [str(form.get(name)) for name in ("client_id", "client_secret")]
        if (
            not asked
            or challenge != asked["code_challenge"]
            or form["redirect_uri"] != asked["redirect_uri"]
            or who != [CLIENT, SECRET]
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": CLIENT, "sub": "person-1", "iat": now, "exp": now + 300,
            "nonce": asked["nonce"], **self.person,
        }  # fmt: skip
        header = {"alg": self.algorithm, "kid": str(self.signed_by.kid or "one")}
        token = jwt.encode(header, self.spoil(claims), self.signed_by, algorithms=[self.algorithm])
        return 200, {"id_token": token, "access_token": "access", "token_type": "Bearer"}

    def _answer(self, method: str, path: str, form: Json, authorization: str) -> tuple[int, Json]:
        self.asked.append(path)
        if self.down:
            return 503, {}
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "userinfo_endpoint": f"{self.url}/userinfo",
                "token_endpoint_auth_methods_supported": self.ways,
            }
        if path == "/keys":
            return 200, {"keys": [self.key.as_dict(private=False)]}
        if path == "/userinfo" and authorization == "Bearer access":
            return 200, {"sub": "person-1", **self.in_userinfo}
        if path == "/token" and method == "POST":
            return self._token(form, authorization)
        return 404, {}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say("GET", {})

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                self._say("POST", dict(parse_qsl(self.rfile.read(length).decode())))

            def _say(self, method: str, form: Json) -> None:
                authorization = self.headers.get("Authorization", "")
                path = urlsplit(self.path).path
                status, said = provider._answer(method, path, form, authorization)
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler
