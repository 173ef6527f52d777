"""Coming back from where people are sent in the middle of something is no arrival."""

import pytest

from threadline.classify import classify, read_site

PAGE = "https://www.shop.example/thanks"

LOGINS = """
accounts.google.com google | accounts.youtube.com google | login.microsoftonline.com microsoft
login.live.com microsoft | acme.b2clogin.com microsoft | acme.ciamlogin.com microsoft
appleid.apple.com apple | idmsa.apple.com apple | github.com/login/oauth/authorize github
github.com/login github | github.com/sessions/two-factor github
gitlab.com/oauth/authorize gitlab | acme.auth0.com auth0 | acme.eu.auth0.com auth0
acme.okta.com okta | acme.oktapreview.com okta | acme.onelogin.com onelogin | auth.pingone.eu ping
acme.auth.eu-west-1.amazoncognito.com cognito | www.facebook.com/v19.0/dialog/oauth facebook
m.facebook.com/dialog/oauth facebook | www.facebook.com/login.php facebook
www.linkedin.com/oauth/v2/authorization linkedin | www.linkedin.com/uas/login linkedin
x.com/i/oauth2/authorize twitter | twitter.com/i/oauth2/authorize twitter
api.twitter.com/oauth/authenticate twitter | api.x.com/oauth/authenticate twitter
discord.com/oauth2/authorize discord | slack.com/openid/connect/authorize slack
id.twitch.tv twitch | accounts.spotify.com spotify | www.reddit.com/api/v1/authorize reddit
www.amazon.com/ap/signin amazon | login.yahoo.com yahoo | passport.yandex.ru yandex
oauth.yandex.com yandex | id.vk.com vk | account.mail.ru mailru | access.line.me line
kauth.kakao.com kakao | nid.naver.com naver | open.weixin.qq.com wechat
login.salesforce.com salesforce | accounts.shopify.com shopify | id.atlassian.com atlassian
www.digid.nl digid | app.franceconnect.gouv.fr franceconnect | csfe.bankid.no bankid
www.mitid.dk mitid | sso.acme.example acme.example | adfs.uni.example uni.example
idp.uni.example uni.example | keycloak.acme.example acme.example
"""

PAYMENTS = """
checkout.stripe.com stripe | hooks.stripe.com stripe | billing.stripe.com stripe
buy.stripe.com stripe | www.paypal.com paypal | www.sandbox.paypal.com paypal
pay.google.com google | pay.klarna.com klarna | www.klarna.com klarna
checkoutshopper-live.adyen.com adyen | www.mollie.com mollie | buy.paddle.com paddle
acme.lemonsqueezy.com lemonsqueezy | squareup.com square | checkout.square.site square
api.razorpay.com razorpay | www.mercadopago.com.br mercadopago
www.mercadopago.com.ar mercadopago | centinelapi.cardinalcommerce.com cardinalcommerce
secure5.arcot.com arcot | www.rsa3dsauth.com rsa | bank-3ds-acs.wlp-acs.com worldline
pay.amazon.com amazon | payments.amazon.de amazon | shop.app shopify | ideal.ing.nl ing
ext.pay.ideal.nl ideal | www.sofort.com sofort | secure.przelewy24.pl przelewy24
secure.payu.com payu | secure.worldpay.com worldpay | assets.braintreegateway.com braintree
pay.twint.ch twint | www.bancontact.com bancontact | mpc.getswish.net swish | pay.vipps.no vipps
mercury-t2.phonepe.com phonepe | cashier.alipay.com alipay | wx.tenpay.com wechat
sis.redsys.es redsys | www.giropay.de giropay | secure.ogone.com ogone
www.saferpay.com worldline | secure.payzen.eu lyra | p.monetico-services.com monetico
www.paysafecard.com paysafe | portal.afterpay.com afterpay | www.affirm.com affirm
checkout.tabby.ai tabby | www.paytm.in paytm | www.ccavenue.com ccavenue
payment.ecpay.com.tw ecpay | app.midtrans.com midtrans | checkout.xendit.co xendit
yookassa.ru yookassa | yoomoney.ru yookassa | auth.robokassa.ru robokassa
securepay.tinkoff.ru tinkoff | checkout.paystack.com paystack
checkout.flutterwave.com flutterwave | secure.payfast.co.za payfast | gocardless.com gocardless
www.iyzico.com iyzico | goguvenliodeme.bkm.com.tr bkm | checkout.bepaid.by bepaid
acs.touchtechpayments.com touchtech | acs.bank.example bank.example
3ds.bank.example bank.example | 3dsecure.bank.example bank.example
acs2.bank.example bank.example | bank-acs.sys.example sys.example | hcaptcha.com hcaptcha
challenges.cloudflare.com cloudflare | www.google.com/recaptcha/api2 google
"""


def cases(text: str) -> list[tuple[str, str]]:
    return [(host, name) for host, name in (case.split() for case in _each(text))]


def _each(text: str) -> list[str]:
    return [case for case in text.replace("\n", "|").split("|") if case.strip()]


@pytest.mark.parametrize(("host", "name"), cases(LOGINS))
def test_signing_in(host: str, name: str) -> None:
    found = classify(PAGE, f"https://{host}")
    assert (found.source, found.medium, found.channel) == (name, "return", "Return")
    assert found.rule_id == "return_from_login"


@pytest.mark.parametrize(("host", "name"), cases(PAYMENTS))
def test_paying(host: str, name: str) -> None:
    found = classify(PAGE, f"https://{host}/")
    assert (found.source, found.medium, found.channel) == (name, "return", "Return")
    assert found.rule_id == "return_from_payment"


# (query, referrer, source / medium): what an arrival says of itself is believed.
ARRIVALS = [
    ("?utm_source=news&utm_medium=email", "https://accounts.google.com/", "news / email"),
    ("?utm_medium=email", "https://accounts.google.com/", "unknown / email"),
    ("?utm_campaign=may", "https://checkout.stripe.com/", "unknown / unknown"),
    ("?gclid=1", "https://www.paypal.com/", "google / paid"),
    ("?fbclid=1", "https://www.paypal.com/", "facebook / paid"),
    ("?mc_cid=1", "https://checkout.stripe.com/", "mailchimp / email"),
    ("?awc=1", "https://checkout.stripe.com/", "awin / affiliate"),
    ("", "https://github.com/threadline/threadline", "github / social"),
    ("", "https://github.com/", "github / social"),
    ("", "https://github.com/loginizer", "github / social"),
    ("", "https://www.facebook.com/", "facebook / social"),
    ("", "https://stripe.com/partners", "stripe.com / referral"),
    ("", "https://auth0.com/blog", "auth0.com / referral"),
    ("", "https://www.okta.com/", "okta.com / referral"),
    ("", "https://notpaypal.com/", "notpaypal.com / referral"),
    ("", "https://paypal.com.evil.test/", "evil.test / referral"),
    ("", "https://acs.example/", "acs.example / referral"),
    ("", "https://login.microsoftonline.com.evil.test/", "evil.test / referral"),
    ("", "https://acs.bank.evil.test/", "evil.test / referral"),
]


@pytest.mark.parametrize(("query", "referrer", "expected"), ARRIVALS)
def test_arrivals(query: str, referrer: str, expected: str) -> None:
    found = classify(f"{PAGE}{query}", referrer)
    assert f"{found.source} / {found.medium}" == expected


# Browsers leave the path of another site's page out; the answer of a sign-in is on our own page.
ANSWERS = [
    ("?code=4f1c9a52d07b&state=xyzzy-12345", "https://github.com/", "github / return"),
    ("?code=4f1c9a52d07b&state=[removed]", "https://www.facebook.com/", "facebook / return"),
    ("?code=4f1c9a52d07b&state=xyzzy-12345", "https://www.linkedin.com/", "linkedin / return"),
    ("?oauth_token=[removed]&oauth_verifier=b", "https://x.com/", "twitter / return"),
    ("?openid.mode=id_res", "https://steamcommunity.com/", "steam / return"),
    ("?code=SUMMER&state=CA", "https://www.facebook.com/", "facebook / social"),
    (
        "?code=4f1c9a52d07b&state=xyzzy-12345",
        "https://partner.example/",
        "partner.example / referral",
    ),
    ("?code=4f1c9a52d07b&state=xyzzy-12345", "https://www.shop.example/", "internal / internal"),
    ("?code=4f1c9a52d07b&state=xyzzy-12345", "", "direct / direct"),
]


@pytest.mark.parametrize(("query", "referrer", "expected"), ANSWERS)
def test_signing_in_is_told_by_its_answer(query: str, referrer: str, expected: str) -> None:
    found = classify(f"{PAGE}{query}", referrer)
    assert f"{found.source} / {found.medium}" == expected


OWN = """
- id: bank
  when: {referrer: pay.bank.example}
  source: bank
  medium: return
- id: desk
  when: {params: {from: desk}}
  source: desk
  medium: return
"""


def test_a_project_names_its_own() -> None:
    site = read_site(frozenset(), "same", OWN)
    found = classify(PAGE, "https://pay.bank.example/x", site)
    assert (found.source, found.medium, found.channel) == ("bank", "return", "Return")
    assert found.rule_id == "custom:bank"
    for query in ("?utm_source=x", "?utm_campaign=x", "?gclid=1", "?awc=1"):
        assert classify(f"{PAGE}{query}", "https://pay.bank.example/", site).medium != "return"
    assert classify(f"{PAGE}?from=desk&gclid=1", "", site).source == "desk"


# What no list knows, by the one name that it has below its domain.
GUESSED = {
    "return_from_login": "sso login auth accounts account passport idp adfs oauth2 keycloak cas",
    "return_from_payment": "pay payment payments checkout securepay acs acs3 3ds 3dsecure hpp",
}


@pytest.mark.parametrize(
    ("rule", "label"),
    [(rule, label) for rule, all_of in GUESSED.items() for label in all_of.split()],
)
def test_servers_of_which_everybody_has_some(rule: str, label: str) -> None:
    found = classify(PAGE, f"https://{label}.acme.co.uk/x")
    assert (found.source, found.medium, found.rule_id) == ("acme.co.uk", "return", rule)
    for other in (f"{label}.blog.acme.co.uk", f"my{label}.acme.co.uk", f"{label}.co.uk"):
        assert classify(PAGE, f"https://{other}/").medium == "referral"
    assert classify(PAGE, f"https://{label}.shop.example/").medium == "internal"


def test_the_own_domain_is_internal_before_all_names() -> None:
    for host in ("login", "auth", "sso", "acs", "3ds", "mastodon"):
        assert classify(PAGE, f"https://{host}.shop.example/").medium == "internal"
    own = read_site(frozenset({"login.microsoftonline.com"}), "separate", "")
    assert classify(PAGE, "https://login.microsoftonline.com/", own).medium == "internal"
