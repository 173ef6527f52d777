"""Browsers and crawlers of the demo log, as often as a small company sees them."""

from threadline.cli.demo_tables import Weighted

# Raise these now and then: the demo is of today.
CHROME, SAFARI, FIREFOX = "155.0.0.0", "26.4", "157.0"
WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
BLINK = f"AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{CHROME}"
# On iPhones and Macs the system's version has stood still for years.
DESKTOPS = Weighted(
    (40, f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Safari/537.36"),
    (14, f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Safari/537.36 Edg/{CHROME}"),
    (14, f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {BLINK} Safari/537.36"),
    (
        20,
        f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} "
        f"Version/{SAFARI} Safari/605.1.15",
    ),
    (
        8,
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{FIREFOX}) Gecko/20100101 Firefox/{FIREFOX}",
    ),
    (4, f"Mozilla/5.0 (X11; Linux x86_64; rv:{FIREFOX}) Gecko/20100101 Firefox/{FIREFOX}"),
)
PHONES = Weighted(
    (
        50,
        f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) {WEBKIT} "
        f"Version/{SAFARI} Mobile/15E148 Safari/604.1",
    ),
    (36, f"Mozilla/5.0 (Linux; Android 10; K) {BLINK} Mobile Safari/537.36"),
    (
        5,
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
        "SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36",
    ),
    (
        9,
        f"Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X) {WEBKIT} "
        f"Version/{SAFARI} Mobile/15E148 Safari/604.1",
    ),
)
CRAWLERS = Weighted(
    (
        40,
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; "
        f"+http://www.google.com/bot.html) Chrome/{CHROME} Safari/537.36",
    ),
    (
        15,
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; "
        f"+http://www.bing.com/bingbot.htm) Chrome/{CHROME} Safari/537.36",
    ),
    (
        15,
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; "
        "+https://openai.com/gptbot)",
    ),
    (
        10,
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; "
        "+claudebot@anthropic.com)",
    ),
    (10, "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)"),
    (
        10,
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"HeadlessChrome/{CHROME} Safari/537.36",
    ),
)
