"""A shop in FastAPI. `python fastapi_shop.py`; see the README for what it wants to know."""

import os
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Form, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.templating import Jinja2Templates
from starlette.middleware.sessions import SessionMiddleware

import threadline
from threadline.client.starlette import Middleware

threadline.init(os.environ["THREADLINE_SDK_KEY"], os.environ["THREADLINE_SDK_HOST"])
app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=os.environ.get("SHOP_SECRET", "for trying it out"))
app.add_middleware(Middleware, user_id=lambda scope: scope["session"].get("user"))
templates = Jinja2Templates(Path(__file__).parent / "templates")
Account = Annotated[str, Form()]


def page(request: Request, template: str, **shown: object) -> Response:
    shown |= {
        "visitor": request.state.threadline.html(),
        "stats": os.environ["THREADLINE_SDK_HOST"],
        "browser_key": os.environ["THREADLINE_SDK_BROWSER_KEY"],
        "user": request.session.get("user"),
    }
    return templates.TemplateResponse(request, template, shown)


def go(path: str) -> Response:
    return RedirectResponse(path, status_code=303)


@app.get("/")
def home(request: Request) -> Response:
    return page(request, "home.html")


@app.get("/pricing")
def pricing(request: Request) -> Response:
    return page(request, "pricing.html")


@app.get("/signup")
def signup_form(request: Request) -> Response:
    return page(request, "enter.html", title="Sign up")


@app.post("/signup")
def signup(request: Request, account: Account) -> Response:
    request.session["user"] = account
    threadline.identify(account, {"plan": "free"})
    threadline.track("signup")
    return go("/account")


@app.get("/login")
def login_form(request: Request) -> Response:
    return page(request, "enter.html", title="Log in")


@app.post("/login")
def login(request: Request, account: Account) -> Response:
    request.session["user"] = account
    threadline.identify(account)
    return go("/account")


@app.post("/logout")
def logout(request: Request) -> Response:
    request.session.clear()  # the visitor's id stays
    return go("/")


@app.get("/account")
def account(request: Request) -> Response:
    if "user" not in request.session:
        return go("/login")
    bought = "bought" in request.query_params
    return page(request, "account.html", name=request.session["user"], bought=bought)


@app.post("/buy")
def buy() -> Response:
    threadline.track("purchase", {"plan": "weaver", "value": 24})
    return go("/account?bought=1")


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
