"""A shop in Flask. `python flask_shop.py`; see the README for what it wants to know."""

import os

from flask import Flask, redirect, render_template, request, session
from werkzeug.wrappers import Response

import threadline
from threadline.client.flask import Threadline

app = Flask(__name__)
app.secret_key = os.environ.get("SHOP_SECRET", "only for trying it out")
app.config["THREADLINE_KEY"] = os.environ["THREADLINE_SDK_KEY"]
app.config["THREADLINE_HOST"] = os.environ["THREADLINE_SDK_HOST"]
Threadline(app, user_id=lambda: session.get("user"))


def page(template: str, **shown: object) -> str:
    return render_template(
        template,
        visitor=request.threadline.html(),
        stats=os.environ["THREADLINE_SDK_HOST"],
        browser_key=os.environ["THREADLINE_SDK_BROWSER_KEY"],
        user=session.get("user"),
        **shown,
    )


@app.get("/")
def home() -> str:
    return page("home.html")


@app.get("/pricing")
def pricing() -> str:
    return page("pricing.html")


@app.get("/signup")
def signup_form() -> str:
    return page("enter.html", title="Sign up")


@app.post("/signup")
def signup() -> Response:
    session["user"] = request.form["account"]
    threadline.identify(session["user"], {"plan": "free"})
    threadline.track("signup")
    return redirect("/account")


@app.get("/login")
def login_form() -> str:
    return page("enter.html", title="Log in")


@app.post("/login")
def login() -> Response:
    session["user"] = request.form["account"]
    threadline.identify(session["user"])
    return redirect("/account")


@app.post("/logout")
def logout() -> Response:
    session.clear()  # the visitor's id stays
    return redirect("/")


@app.get("/account")
def account() -> str | Response:
    if "user" not in session:
        return redirect("/login")
    return page("account.html", name=session["user"], bought="bought" in request.args)


@app.post("/buy")
def buy() -> Response:
    threadline.track("purchase", {"plan": "weaver", "value": 24})
    return redirect("/account?bought=1")


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "8000")))
