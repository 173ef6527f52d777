"""Who is a person on which device and in which browser, and who is a bot of which kind."""

import pytest

from threadline.enrich import read_agent

IOS = "(iPhone; CPU iPhone OS 17_5 like Mac OS X)"
IPHONE = f"Mozilla/5.0 {IOS} AppleWebKit/605.1.15 (KHTML, like Gecko)"
SAMSUNG = "Mozilla/5.0 (Linux; Android 14; SM-S918B Build/UP1A.231005.007; wv) AppleWebKit/537.36"
WEBVIEW = f"{SAMSUNG} (KHTML, like Gecko) Version/4.0 Chrome/125.0.0.0 Mobile Safari/537.36"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
CHROME = f"{WINDOWS} Chrome/141.0.0.0 Safari/537.36"
CHROMIUM = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0"


def android(model: str, mobile: str = "Mobile ") -> str:
    """Chrome on a device that names itself so."""
    return f"Mozilla/5.0 (Linux; Android 13; {model}) {CHROMIUM} {mobile}Safari/537.36"


# Device, browser, system.
BROWSERS = {
    "desktop chrome windows": [CHROME],
    "desktop edge windows": [f"{CHROME} Edg/141.0.0.0", f"{CHROME} Edge/18.19582"],
    "desktop opera windows": [f"{CHROME} OPR/110.0.0.0"],
    "desktop vivaldi windows": [f"{CHROME} Vivaldi/6.7"],
    "desktop yandex windows": [f"{WINDOWS} Chrome/124.0 YaBrowser/24.6 Yowser/2.5 Safari/537.36"],
    "desktop ie windows": [
        "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; Tablet PC 2.0; rv:11.0) like Gecko",
        "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; Tablet PC 2.0)",
    ],
    "desktop safari macos": [
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
        " Version/17.5 Safari/605.1.15"
    ],
    "desktop firefox linux": [
        "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
        "Mozilla/5.0 (X11; Fedora; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
    ],
    "desktop chrome chromeos": [
        f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROMIUM} Safari/537.36"
    ],
    "desktop konqueror linux": ["Mozilla/5.0 (compatible; Konqueror/4.1; Linux) KHTML/4.1.3"],
    "mobile safari ios": [f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1"],
    "mobile chrome ios": [f"{IPHONE} CriOS/126.0 Mobile/15E148 Safari/604.1"],
    "mobile firefox ios": [f"{IPHONE} FxiOS/127.0 Mobile/15E148 Safari/605.1.15"],
    "mobile edge ios": [f"{IPHONE} Version/17.0 EdgiOS/126.0 Mobile/15E148 Safari/604.1"],
    "mobile opera ios": [f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1 OPT/4.5"],
    "mobile duckduckgo ios": [f"{IPHONE} Version/17.5 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15"],
    "mobile chrome android": [
        android("Pixel 8 Build/AP3A.240617.008"),
        android("CPH2557 Build/AP3A.240617.008"),
        android("K"),
        android("HTC Wildfire X"),
        android("ViewSonic V500"),
        android("HTC Butterfly Build/JDQ39"),
        android("Expanse"),
        android("M bot 60"),
        android("Cubot Note"),
        android("moto g power (2022)"),
        WEBVIEW,
        "Mozilla/5.0 (Linux; Android 13; SM-A525F) AppleWebKit/537.36 Chrome/141 Mobile Safari/537",
    ],
    "mobile android android": [
        "Mozilla/5.0 (Linux; U; Android 4.0.3; de-de; Galaxy S II Build/GRJ22) AppleWebKit/534.30"
        " (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30",
        "Dalvik/2.1.0 (Linux; U; Android 13; Pixel 7 Build/TQ3A.230805.001)",
    ],
    "mobile samsung android": [
        f"{SAMSUNG} (KHTML, like Gecko) SamsungBrowser/23.0 Chrome/115.0.0.0 Mobile Safari/537.36"
    ],
    "mobile opera android": [f"{android('Pixel 7')} OPR/76.2"],
    "mobile firefox android": [
        "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0"
    ],
    "mobile huawei harmonyos": [
        "Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko)"
        " Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile HuaweiBrowser/5.0.4.300"
    ],
    "mobile firefox kaios": [
        "Mozilla/5.0 (Mobile; Nokia 8110 4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5"
    ],
    "tablet safari ios": [
        "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
        " Version/17.5 Mobile/15E148 Safari/604.1"
    ],
    "tablet chrome android": [android("SM-X210", ""), android("Pixel Tablet", "")],
    "tablet silk android": [
        "Mozilla/5.0 (Linux; Android 11; KFTRWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/120.3"
        " like Chrome/120.0 Safari/537.36"
    ],
    "tablet firefox android": [
        "Mozilla/5.0 (Android 14; Tablet; rv:127.0) Gecko/127.0 Firefox/127.0"
    ],
    "mobile facebook ios": [f"{IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/465.0.0.33.107;FBBV/1]"],
    "mobile facebook android": [
        f"{WEBVIEW} [FB_IAB/FB4A;FBAV/465.0.0.0;]",
        f"{WEBVIEW} MetaIAB Facebook",
    ],
    "mobile messenger ios": [f"{IPHONE} Mobile/15E148 [FBAN/MessengerForiOS;FBAV/465.0]"],
    "mobile instagram ios": [f"{IPHONE} Mobile/15E148 Instagram 330.0.0.0 (iPhone14,5; iOS 17_5)"],
    "mobile instagram android": [f"{WEBVIEW} Instagram 406.0.0.58.159 Android (35/15; 480dpi)"],
    "mobile tiktok ios": [
        f"{IPHONE} Mobile/15E148 musical_ly_32.5.0 JsSdk/2.0 Region/DE BytedanceWebview"
    ],
    "mobile tiktok android": [
        f"{WEBVIEW} trill_320403 AppName/musical_ly BytedanceWebview/d8a21c6"
    ],
    "mobile line ios": [f"{IPHONE} Mobile/15E148 Safari Line/14.8.0"],
    "mobile wechat android": [f"{WEBVIEW} MMWEBID/6170 MicroMessenger/8.0.37.2380 WeChat/arm64"],
    "mobile viber android": [f"{WEBVIEW} Viber/27.4"],
    "mobile viber ios": [f"{IPHONE} Mobile/15E148 Viber/21.0.0.3"],
    "mobile snapchat ios": [f"{IPHONE} Mobile/15E148 Snapchat/12.80.0.33 (like Safari/8617.2.4)"],
    "mobile pinterest ios": [f"{IPHONE} Mobile [Pinterest/iOS]"],
    "mobile google ios": [f"{IPHONE} GSA/319.0 Mobile/15E148 Safari/604.1"],
    "mobile telegram android": [f"{WEBVIEW} Telegram-Android/11.3.3 (Google Pixel 8; Android 15)"],
    "mobile whatsapp ios": [f"{IPHONE} Mobile/15E148 WhatsApp/23.1"],
    "mobile kakaotalk ios": [f"{IPHONE} Mobile/15E148 KAKAOTALK 10.8.0"],
    "mobile naver ios": [f"{IPHONE} Mobile/15E148 NAVER(inapp; search; 1000; 12.5.1)"],
    "mobile linkedin android": [f"{WEBVIEW} [LinkedInApp]/4.1"],
    "mobile twitter ios": [f"{IPHONE} Mobile/20F66 Twitter for iPhone/9.66"],
    "mobile bluesky ios": [f"{IPHONE} Mobile/15E148 Bluesky/1.90"],
    "tv safari tizen": [
        "Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko)"
        " 76.0.3809.146/6.0 TV Safari/537.36"
    ],
    "tv chrome webos": [
        f"Mozilla/5.0 (Web0S; Linux/SmartTV) {CHROMIUM} Safari/537.36 WebAppManager"
    ],
    "tv chrome android": [android("BRAVIA 4K UR2", ""), android("SHIELD Android TV", "")],
    "tv silk android": [
        "Mozilla/5.0 (Linux; Android 9; AFTMM Build/PS7633) AppleWebKit/537.36 (KHTML, like Gecko)"
        " Silk/120.1 like Chrome/120 Safari/537.36"
    ],
    "tv roku roku": ["Roku/DVP-12.5 (12.5.0.4178-88)"],
    "tv hbbtv linux": ["Mozilla/5.0 (Linux; Andr0id 9; BRAVIA 4K) HbbTV/1.5.1 (+DRM; Sony; KD)"],
    "tv  tvos": ["AppleTV11,1/11.1", "AppleCoreMedia/1.0.0.21J354 (Apple TV; U; CPU OS 17_0)"],
    "tv chrome linux": [f"Mozilla/5.0 (X11; Linux aarch64) {CHROMIUM} Safari/537.36 CrKey/1.56"],
    "console safari playstation": [
        "Mozilla/5.0 (PlayStation; PlayStation 5/8.20) AppleWebKit/605.1.15 (KHTML, like Gecko)"
        " Version/15.4 Safari/605.1.15",
        "Mozilla/5.0 (PlayStation 4 11.00) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.4"
        " Safari/605.1.15",
    ],
    "console edge xbox": [
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox Series X) {CHROMIUM} Safari/537.36"
        " Edge/44.18363.8131"
    ],
    "console netfront nintendo": [
        "Mozilla/5.0 (Nintendo WiiU) AppleWebKit/536.30 (KHTML, like Gecko) NX/3.0.4.2.13"
        " NintendoBrowser/4.3.2.11274.EU"
    ],
    "other oculus android": [
        "Mozilla/5.0 (Linux; Android 12; Quest 3) AppleWebKit/537.36 (KHTML, like Gecko)"
        " OculusBrowser/30.0 Chrome/120.0 VR Safari/537.36"
    ],
    "mobile shop ios": ["Shop/7 CFNetwork/1490 Darwin/23"],
    "other okhttp ": ["okhttp/4.12"],
    "other java ": ["Java/17.0.1"],
    "other wordpress ": ["WordPress/6.5; https://site.example"],
}
BY_LINK = "+https://bot.example/about"
# What a bot is for, and its name.
BOTS = {
    "ai_agent": {
        "claudebot": f"Mozilla/5.0 AppleWebKit/537.36 (compatible; ClaudeBot/1.0; {BY_LINK})",
        "claude-user": "Claude-User/1.0",
        "chatgpt-user": f"Mozilla/5.0 (KHTML, like Gecko); compatible; ChatGPT-User/1.0; {BY_LINK}",
        "gptbot": "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2)",
        "oai-searchbot": f"Mozilla/5.0 (compatible; OAI-SearchBot/1.0; {BY_LINK})",
        "perplexitybot": f"Mozilla/5.0 (compatible; PerplexityBot/1.0; {BY_LINK})",
        "perplexity-user": f"Mozilla/5.0 (compatible; Perplexity-User/1.0; {BY_LINK})",
        "google-extended": "Mozilla/5.0 (compatible; Google-Extended/1.0)",
        "bytespider": f"{android('K')} (compatible; Bytespider; spider-feedback@bytedance.com)",
        "amazonbot": f"Mozilla/5.0 (compatible; Amazonbot/0.1; {BY_LINK})",
        "meta-externalagent": f"meta-externalagent/1.1 ({BY_LINK})",
        "ccbot": "CCBot/2.0 (https://commoncrawl.org/faq/)",
        "mistralai-user": f"Mozilla/5.0 (compatible; MistralAI-User/1.0; {BY_LINK})",
    },
    "preview": {
        "facebookexternalhit": f"facebookexternalhit/1.1 ({BY_LINK})",
        "imessage": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/601.2.4 (KHTML,"
        " like Gecko) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
        "slackbot": f"Slackbot-LinkExpanding 1.0 ({BY_LINK})",
        "twitterbot": "Twitterbot/1.0",
        "whatsapp": "WhatsApp/2.23.20.0 A",
        "telegrambot": "TelegramBot (like TwitterBot)",
        "discordbot": "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
        "linkedinbot": "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient)",
        "skypeuripreview": "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
        "googleimageproxy": "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via"
        " ggpht.com GoogleImageProxy)",
        "yahoomailproxy": "YahooMailProxy; https://help.yahoo.com/",
    },
    "mail_scanner": {
        "barracuda": f"{CHROME} Barracuda Sentinel (EE)",
        "proofpoint": "Mozilla/5.0 (compatible; Proofpoint URL Defense)",
        "mimecast": f"{CHROME} Mimecast",
        "cisco": "Mozilla/5.0 (compatible; Cisco-IronPort)",
        "symantec": "Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Symantec WebPulse)",
        "fortinet": f"{CHROME} FortiMail",
        "trendmicro": f"{CHROME} Trend Micro",
        "sophos": f"{CHROME} Sophos Email",
        "avanan": f"{CHROME} Avanan",
        "safelinks": f"{CHROME} Microsoft Office 365 SafeLinks",
        "e-mail scanner": "Mozilla/5.0 E-Mail Scanner",
    },
    "monitor": {
        "uptimerobot": "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
        "pingdom": "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
        "lighthouse": f"{android('moto g power (2022)')} Chrome-Lighthouse",
        "pagespeed": f"{CHROME} Google Page Speed Insights",
        "route53": "Amazon-Route53-Health-Check-Service (ref b0eb04d5)",
        "datadog": f"{CHROME} DatadogSynthetics",
        "kube-probe": "kube-probe/1.29",
    },
    "headless": {
        "headlesschrome": CHROME.replace("Chrome/", "HeadlessChrome/"),
        "phantomjs": "Mozilla/5.0 (Unknown; Linux) AppleWebKit/538.1 PhantomJS/2.1.1 Safari/538",
        "playwright": f"{CHROME} Playwright/1.40.0",
        "jsdom": "Mozilla/5.0 (linux) AppleWebKit/537.36 (KHTML, like Gecko) jsdom/22.1.0",
    },
    "crawler": {
        "googlebot": f"{android('Nexus 5X')} (compatible; Googlebot/2.1; {BY_LINK})",
        "applebot": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_10_1) (Applebot/0.1)",
        "yandexbot": "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
        "never heard of": f"Mozilla/5.0 (compatible; Never heard of/1.0; {BY_LINK})",
        "google-read-aloud": "Mozilla/5.0 (compatible; Google-Read-Aloud)",
        "ahrefsbot": "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    },
}


@pytest.mark.parametrize(
    ("said", "agent"), [(said, agent) for said, agents in BROWSERS.items() for agent in agents]
)
def test_people(said: str, agent: str) -> None:
    assert read_agent(agent) == (*said.split(" "), False, "")


@pytest.mark.parametrize(
    ("reason", "name", "agent"),
    [(reason, name, agent) for reason, bots in BOTS.items() for name, agent in bots.items()],
)
def test_bots(reason: str, name: str, agent: str) -> None:
    found = read_agent(agent)
    assert (found.is_bot, found.reason, found.browser) == (True, reason, name)
    assert found.device_type == "other"


def test_what_says_nothing_known_is_nothing() -> None:
    for agent in ("", " "):
        assert read_agent(agent) == ("", "", "", False, "")
    for agent in ("x" * 100_000, "\0", "(" * 400):
        assert read_agent(agent) == ("other", "", "", False, "")
