"""What the rules ask of a visit. A condition gives source and medium, if it matches."""

from collections.abc import Callable, Iterable

from threadline.classify.lists import read_list
from threadline.classify.utm import read_source
from threadline.classify.visit import Visit

LINK_SHIMS = frozenset({"l.facebook.com", "lm.facebook.com"})
META = ("facebook", "instagram")
RETURNS = ("login", "payment")
# HubSpot's, on links of ads that it manages for others.
MANAGED_IDS = ("hsa_cam", "hsa_acc", "hsa_grp", "hsa_ad", "hsa_net", "hsa_src")

ANSWERING = read_list("returns/answers.txt")

Verdict = tuple[str, str] | None
Condition = Callable[[Visit], Verdict]


def param(source: str, medium: str, *names: str) -> Condition:
    """One of these parameters."""

    def condition(visit: Visit) -> Verdict:
        for name in names:  # a loop, because this is asked of every link a dozen times
            if visit.params.get(name):
                return (source, medium)
        return None

    return condition


def one_of(sources: dict[str, str], medium: str) -> Condition:
    """A parameter of a list; the source is the name that it is listed under."""

    def condition(visit: Visit) -> Verdict:
        for name, value in visit.params.items():
            if name in sources and value:
                return (sources[name], medium)
        return None

    return condition


def fbclid_from_shim(visit: Visit) -> Verdict:
    shim = visit.params.get("fbclid") and visit.referrer_host in LINK_SHIMS
    return ("facebook", "paid") if shim else None


def fbclid_with_name(visit: Visit) -> Verdict:
    named = visit.params.get("fbclid") and visit.utm_source in META
    return (visit.utm_source, "paid") if named else None


def paid_as(source: str) -> Condition:
    return lambda visit: (source, "paid") if visit.paid and visit.utm_source == source else None


def paid_source(visit: Visit) -> Verdict:
    return (visit.utm_source, "paid") if visit.paid and visit.utm_source else None


def paid_unknown(visit: Visit) -> Verdict:
    return ("unknown", "paid") if visit.paid else None


def managed_ad(visit: Visit) -> Verdict:
    if not any(visit.params.get(name) for name in MANAGED_IDS):
        return None
    network = read_source(visit.params.get("hsa_net", "")).source
    return (network or visit.utm_source or "unknown", "paid")


def known_source(visit: Visit) -> Verdict:
    known = visit.utm_source and not visit.utm_medium and visit.known_medium
    return (visit.utm_source, visit.known_medium) if known else None


def utm_source(visit: Visit) -> Verdict:
    return (visit.utm_source, visit.utm_medium or "unknown") if visit.utm_source else None


def utm_medium(visit: Visit) -> Verdict:
    return ("unknown", visit.utm_medium) if visit.utm_medium else None


def only_tagged(visit: Visit) -> Verdict:
    """A tagged link of which not even the referrer says whose it is."""
    by = visit.referrer.by
    told = visit.referrer_host and not (by and by.kind in RETURNS)
    return ("unknown", "unknown") if visit.tagged and not told else None


def returned_from(kind: str) -> Condition:
    def condition(visit: Visit) -> Verdict:
        by = visit.referrer.by
        return (by.source, by.medium) if by and by.kind == kind else None

    return condition


def returned_from_login(visit: Visit) -> Verdict:
    """From a sign-in page; on a host that is much else it is told by what it answered."""
    if verdict := _returned_from_login(visit):
        return verdict
    if not visit.answered or visit.referrer.internal:
        return None
    host = visit.referrer_host
    while host and host not in ANSWERING:
        host = host.partition(".")[2]
    return (ANSWERING[host], "return") if host else None


_returned_from_login = returned_from("login")


def referred_by(kinds: Iterable[str], *sources: str) -> Condition:
    allowed = frozenset(kinds)

    def condition(visit: Visit) -> Verdict:
        by = visit.referrer.by
        if by is None or by.kind not in allowed or (sources and by.source not in sources):
            return None
        return (by.source, by.medium)

    return condition


def spam(visit: Visit) -> Verdict:
    by = visit.referrer.by
    return (visit.referrer.name, "spam") if by and by.kind == "spam" else None


def internal(visit: Visit) -> Verdict:
    return ("internal", "internal") if visit.referrer.internal else None


def referral(visit: Visit) -> Verdict:
    return (visit.referrer.name, "referral") if visit.referrer_host else None


def direct(visit: Visit) -> Verdict:
    return ("direct", "direct")
