"""Referrer hosts that name a source. A host stands for itself and all its subdomains.

Kept small on purpose for now: the sites most visits come from. What is missing here is not lost:
it counts as `referral` under its registrable domain.
"""

FACEBOOK = frozenset({"facebook.com", "fb.com", "fb.me"})
INSTAGRAM = frozenset({"instagram.com"})

HOSTS: dict[str, tuple[str, str]] = {
    "t.co": ("twitter", "social"),
    "twitter.com": ("twitter", "social"),
    "x.com": ("twitter", "social"),
    "lnkd.in": ("linkedin", "social"),
    "linkedin.com": ("linkedin", "social"),
    "reddit.com": ("reddit", "social"),
    "news.ycombinator.com": ("hackernews", "social"),
    "youtube.com": ("youtube", "social"),
    "tiktok.com": ("tiktok", "social"),
    "google.com": ("google", "organic"),
    "google.co.uk": ("google", "organic"),
    "google.de": ("google", "organic"),
    "google.fr": ("google", "organic"),
    "bing.com": ("bing", "organic"),
    "duckduckgo.com": ("duckduckgo", "organic"),
    "ecosia.org": ("ecosia", "organic"),
    "search.yahoo.com": ("yahoo", "organic"),
    "mail.google.com": ("gmail", "email"),
    "outlook.live.com": ("outlook", "email"),
    "mail.yahoo.com": ("yahoo", "email"),
    "chatgpt.com": ("chatgpt", "ai"),
    "claude.ai": ("claude", "ai"),
    "gemini.google.com": ("gemini", "ai"),
    "perplexity.ai": ("perplexity", "ai"),
}
