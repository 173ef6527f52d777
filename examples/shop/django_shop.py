"""A shop in Django, in one file. `python django_shop.py`; see the README for what it wants to know.

Whoever logs in is identified by that alone: Threadline's middleware listens to Django's signal.
"""

import os
import sys
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path

import threadline

settings.configure(
    SECRET_KEY=os.environ.get("SHOP_SECRET", "only for trying it out"),
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("SHOP_DATABASE", "shop.sqlite3"),
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "threadline.client.django.Middleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [Path(__file__).parent / "templates"],
        }
    ],
    THREADLINE={"key": os.environ["THREADLINE_SDK_KEY"], "host": os.environ["THREADLINE_SDK_HOST"]},
)
django.setup()

# Django wants its settings before these can be imported.
from django.contrib.auth import login as log_in  # noqa: E402
from django.contrib.auth import logout as log_out  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.middleware.csrf import get_token  # noqa: E402
from django.utils.html import format_html  # noqa: E402


def page(request: HttpRequest, template: str, **shown: object) -> HttpResponse:
    shown |= {
        "visitor": request.threadline.html(),
        "stats": os.environ["THREADLINE_SDK_HOST"],
        "browser_key": os.environ["THREADLINE_SDK_BROWSER_KEY"],
        "csrf": format_html(
            '<input type="hidden" name="csrfmiddlewaretoken" value="{}">', get_token(request)
        ),
        "user": request.user.pk if request.user.is_authenticated else None,
    }
    return render(request, template, shown)


def home(request: HttpRequest) -> HttpResponse:
    return page(request, "home.html")


def pricing(request: HttpRequest) -> HttpResponse:
    return page(request, "pricing.html")


def signup(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return page(request, "enter.html", title="Sign up")
    user, _ = User.objects.get_or_create(username=request.POST["account"])
    log_in(request, user)
    threadline.identify(user.pk, {"plan": "free"})  # the traits are all that is left to say
    threadline.track("signup")
    return redirect("/account")


def login(request: HttpRequest) -> HttpResponse:
    user = User.objects.filter(username=request.POST.get("account", "")).first()
    if user is None:
        return page(request, "enter.html", title="Log in")
    log_in(request, user)
    return redirect("/account")


def logout(request: HttpRequest) -> HttpResponse:
    log_out(request)  # the visitor's id stays
    return redirect("/")


def account(request: HttpRequest) -> HttpResponse:
    if not request.user.is_authenticated:
        return redirect("/login")
    name = request.user.get_username()
    return page(request, "account.html", name=name, bought="bought" in request.GET)


def buy(request: HttpRequest) -> HttpResponse:
    threadline.track("purchase", {"plan": "weaver", "value": 24})
    return redirect("/account?bought=1")


urlpatterns = [
    path("", home),
    path("pricing", pricing),
    path("signup", signup),
    path("login", login),
    path("logout", logout),
    path("account", account),
    path("buy", buy),
]

if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    sys.argv = [sys.argv[0], "runserver", "--noreload"]
    call_command("runserver", os.environ.get("PORT", "8000"), use_reloader=False)
