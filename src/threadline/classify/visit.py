"""What the rules look at: a visit, taken apart from its URL and referrer once."""

from functools import lru_cache
from typing import Literal, NamedTuple

from threadline.classify.address import parameters, registrable_domain, split
from threadline.classify.copies import is_copy, original
from threadline.classify.hosts import APPS, Listed, guessed, known, page_listed
from threadline.classify.lists import read_list
from threadline.classify.utm import Medium, read_medium, read_source

# By what their names say of an arrival: each name in lower case.
PAID_IDS = read_list("click_ids/paid.txt")
EMAIL_IDS = read_list("click_ids/email.txt")
AFFILIATE_IDS = read_list("click_ids/affiliate.txt")
OTHER_IDS = read_list("click_ids/other.txt")
# In lower case, and as the networks write them.
CLICK_IDS = {name.lower(): name for name in (*PAID_IDS, *EMAIL_IDS, *AFFILIATE_IDS, *OTHER_IDS)}
TAGS = frozenset({"utm_source", "utm_medium", "utm_campaign", "utm_id", "utm_term", "utm_content"})

DISPLAY = frozenset({"display"})
WEB = frozenset({"http", "https", ""})
APP = frozenset({"android-app", "ios-app"})

# Shorter ones are other things, such as a code of a voucher and a state of the union.
MIN_STATE = 8

Subdomains = Literal["same", "separate"]


class Own(NamedTuple):
    """What is the site itself. `hosts`: the project's, `*.example.com` meaning every subdomain.
    `subdomains`: whether those of the page's domain are the `same` site."""

    hosts: frozenset[str] = frozenset()
    subdomains: Subdomains = "same"

    def lists(self, host: str) -> bool:
        """Whether the host is listed, itself or by a `*.` pattern above it."""
        if host in self.hosts:
            return True
        return any(entry.startswith("*.") and host.endswith(entry[1:]) for entry in self.hosts)


class Referrer(NamedTuple):
    """Where a browser came from. `name`: what it is called where no list knows it: a registrable
    domain, an app's whole name. `by`: what it stands for. `internal`: whether it is the site."""

    host: str
    name: str
    by: Listed | None
    internal: bool


NO_REFERRER = Referrer("", "", None, False)


class Visit(NamedTuple):
    """Names of parameters and hosts are in lower case, utm values under the names of the lists.
    `known_medium`: the only one that the lists know for the utm_source, if any."""

    params: dict[str, str]
    utm_source: str
    known_medium: str
    medium: Medium
    page_host: str
    page_path: str
    referrer: Referrer

    @property
    def utm_medium(self) -> str:
        """What it counts as."""
        return self.medium.name

    @property
    def referrer_host(self) -> str:
        """Empty where none is said."""
        return self.referrer.host

    @property
    def click_ids(self) -> tuple[tuple[str, str], ...]:
        """Name and value of those in the URL."""
        if CLICK_IDS.keys().isdisjoint(self.params):
            return ()
        found = sorted(CLICK_IDS.keys() & self.params.keys())
        return tuple((CLICK_IDS[name], self.params[name]) for name in found if self.params[name])

    @property
    def utm(self) -> tuple[tuple[str, str], ...]:
        """Name and value of the URL's utm parameters."""
        if not self.params:
            return ()
        return tuple(item for item in self.params.items() if item[0].startswith("utm_"))

    @property
    def tagged(self) -> bool:
        """Whether the link was made for a campaign: any of its parameters says so."""
        return any(self.params.get(name) for name in TAGS)

    @property
    def named(self) -> bool:
        """Whether the link says where it was: it is tagged, or has a click id."""
        return self.tagged or bool(self.click_ids)

    @property
    def paid(self) -> bool:
        return self.medium.name == "paid"

    @property
    def words(self) -> frozenset[str]:
        """By which a channel is told: of the utm_medium, and what a click id says as well."""
        return self.medium.words | DISPLAY if self.params.get("dclid") else self.medium.words

    @property
    def answered(self) -> bool:
        """Whether the page got what a sign-in elsewhere answers with: OAuth 2 and 1, OpenID."""
        said = self.params.get
        if len(said("state", "")) >= MIN_STATE:
            return len(said("code", "")) >= MIN_STATE or bool(said("id_token"))
        return bool(said("oauth_verifier") or said("openid.mode"))


def read_visit(url: str, referrer: str, own: Own) -> Visit:
    """A visit to `url` that came from `referrer`. What cannot be parsed counts as absent."""
    page = split(url)
    page_host = page.host
    if page_host and is_copy(page_host):
        page_host = original(page) or page_host
    params = parameters(page.query) if page.query else {}
    source = read_source(params.get("utm_source", ""))
    return Visit(
        params,
        source.source,
        source.medium,
        read_medium(params.get("utm_medium", "")),
        page_host,
        page.path,
        _referrer(referrer, page.scheme, page_host, own) if referrer else NO_REFERRER,
    )


def _referrer(referrer: str, page_scheme: str, page_host: str, own: Own) -> Referrer:
    scheme, _, host, path = address = split(referrer)
    if not host:
        return NO_REFERRER
    if scheme in APP:
        by = APPS.get(host)
        return NO_REFERRER if by and by.kind == "browsers" else Referrer(host, host, by, False)
    if scheme not in WEB:  # an extension, a file, or a page of an app, which may be this one
        same = host == page_host and scheme == page_scheme
        return Referrer(host, host, None, True) if same else NO_REFERRER
    if is_copy(host):
        host, path = original(address) or page_host or host, ""
    site = _site(host, page_host, own)
    if len(path) > 1 and (site.by or not site.internal) and (page := page_listed(host, path)):
        return site._replace(by=page)
    return site


@lru_cache(maxsize=16_384)  # hosts repeat even where pages do not
def _site(host: str, page_host: str, own: Own) -> Referrer:
    name = registrable_domain(host)
    if host == page_host or own.lists(host):
        return Referrer(host, name, None, True)
    internal = own.subdomains == "same" and name == registrable_domain(page_host)
    by = known(host).found or (None if internal else guessed(host))
    return Referrer(host, name, by, internal)
