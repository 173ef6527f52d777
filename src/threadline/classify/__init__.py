from threadline.classify.custom import RulesError, read_rules
from threadline.classify.explain import Classification, explain, no_address
from threadline.classify.rules import RULES
from threadline.classify.site import NO_SITE, Site, new_site, read_site
from threadline.classify.source import Source, classify
from threadline.classify.visit import Subdomains

__all__ = [
    "NO_SITE",
    "RULES",
    "Classification",
    "RulesError",
    "Site",
    "Source",
    "Subdomains",
    "classify",
    "explain",
    "new_site",
    "no_address",
    "read_rules",
    "read_site",
]
