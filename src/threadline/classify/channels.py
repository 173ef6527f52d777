"""Channels: sources and mediums in the few groups that reports speak of."""

from functools import lru_cache
from typing import NamedTuple

from threadline.classify.utm import MAX_REMEMBERED, kind_of

# Sites of which the point is to watch.
VIDEO_SITES = frozenset(
    """youtube vimeo twitch dailymotion rumble bilibili nicovideo youku iqiyi rutube odysee bitchute
    kick trovo wistia ted peertube nebula d.tube acfun""".split()
)


class Channel(NamedTuple):
    """`when`: in words that end the sentence "it is this channel if there is …". The rest: what has
    to be so, all that is given. `words`: one of them in the utm_medium as it was written. `kinds`:
    what the lists know the source as."""

    name: str
    when: str
    mediums: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()

    def takes(self, source: str, medium: str, words: frozenset[str], kind: str) -> bool:
        """Whether it is this channel."""
        return (
            (not self.mediums or medium in self.mediums)
            and (not self.words or not self.words.isdisjoint(words))
            and (not self.kinds or kind in self.kinds)
            and (not self.sources or source in self.sources)
        )


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


PAID = _set("paid")
DISPLAY_WORDS = _set(
    "display displayads banner banners bannerad bannerads programmatic interstitial expandable dsp "
    "rtb gdn"
)
SEARCH_WORDS = _set("search paidsearch sem sea shopping pla searchads")
SOCIAL_WORDS = _set("social paidsocial socialpaid socialads socialmedia")
VIDEO_WORDS = _set("video videos paidvideo cpv cpcv preroll midroll trueview videoads youtube")

# The first that takes a visit.
CHANNELS = (
    Channel("Return", "the medium `return`", _set("return")),
    Channel("Internal", "the medium `internal`", _set("internal")),
    Channel("Other", "the medium `spam`", _set("spam")),
    Channel("Direct", "source and medium `direct`", _set("direct"), sources=_set("direct")),
    Channel(
        "Display",
        "a paid medium, written with a word such as display or banner",
        PAID,
        DISPLAY_WORDS,
    ),
    Channel(
        "Paid Search",
        "a paid medium, written with a word such as search or shopping",
        PAID,
        SEARCH_WORDS,
    ),
    Channel("Paid Social", "a paid medium, written with a word such as social", PAID, SOCIAL_WORDS),
    Channel("Video", "a paid medium, and a site to watch", PAID, sources=VIDEO_SITES),
    Channel("Paid Social", "a paid medium, and a social network", PAID, kinds=_set("social")),
    Channel("Video", "a paid medium, written with a word such as video or cpv", PAID, VIDEO_WORDS),
    Channel("Paid Search", "a paid medium, and a search engine", PAID, kinds=_set("search")),
    Channel("Display", "a paid medium, and a network of ads", PAID, kinds=_set("ads")),
    Channel("Display", "a paid medium, written as cpm", PAID, _set("cpm cpms vcpm ecpm dcpm")),
    Channel("Other", "a paid medium of any other source", PAID),
    Channel("AI", "the medium `ai`", _set("ai")),
    Channel("Email", "the medium `email`", _set("email")),
    Channel("Affiliate", "the medium `affiliate`", _set("affiliate")),
    Channel("SMS/Push", "the medium `sms` or `push`", _set("sms push")),
    Channel("Video", "a site to watch, whatever else the medium is", sources=VIDEO_SITES),
    Channel("Video", "the medium `video`", _set("video")),
    Channel("Organic Social", "the medium `social`", _set("social")),
    Channel(
        "Organic Social", "a social network, whatever else the medium is", kinds=_set("social")
    ),
    Channel("Organic Search", "the medium `organic`", _set("organic")),
    Channel("AI", "an AI assistant, whatever else the medium is", kinds=_set("ai")),
    Channel("Email", "a sender of e-mails, whatever else the medium is", kinds=_set("email")),
    Channel(
        "Affiliate", "a network of affiliates, whatever else the medium is", kinds=_set("affiliate")
    ),
    Channel(
        "SMS/Push", "a sender of messages, whatever else the medium is", kinds=_set("sms push")
    ),
    Channel("Referral", "the medium `referral`", _set("referral")),
    Channel("Other", "anything else"),
)
WORDS = frozenset[str]().union(*(channel.words for channel in CHANNELS))
NAMES = tuple(dict.fromkeys(channel.name for channel in CHANNELS))


def channel_of(source: str, medium: str, words: frozenset[str]) -> str:
    """The channel of a source and a medium; `words`: of the utm_medium as it was written."""
    of = _channel if len(source) + len(medium) <= MAX_REMEMBERED else _channel.__wrapped__
    return of(source, medium, words & WORDS)


@lru_cache(maxsize=4096)  # sources and mediums are few, and the last channels are asked last
def _channel(source: str, medium: str, words: frozenset[str]) -> str:
    kind = kind_of(source)
    return next(channel.name for channel in CHANNELS if channel.takes(source, medium, words, kind))
