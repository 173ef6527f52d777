"""`/skills/…`: what agents are to know of Threadline, as files that they can keep."""

from threadline.contract.errors import NotFound
from threadline.http.answers import Answer, answer_body
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.web.documents import SKILLS, documents, title

MARKDOWN = "text/markdown; charset=utf-8"
HEADERS = {"X-Content-Type-Options": "nosniff"}
ENDINGS = ("/SKILL.md", ".md")


def skills() -> dict[str, str]:
    """Their titles, by name."""
    return {page.removeprefix(SKILLS): title(page) for page in documents() if SKILLS in page}


async def list_skills(request: Request) -> Answer:
    lines = [f"- [{said}](/skills/{name}.md)" for name, said in skills().items()]
    return _markdown("\n".join(["# Skills", "", *lines, ""]).encode())


async def get_skill(request: Request) -> Answer:
    name = request.in_path["name"]
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    if name not in skills():
        raise NotFound(f"There is no such skill; there are {', '.join(skills())}.")
    return _markdown(documents()[f"{SKILLS}{name}"].read_bytes())


def _markdown(body: bytes) -> Answer:
    return answer_body(body, MARKDOWN, HEADERS)


ROUTES = [
    Route("GET", "/skills", list_skills),
    Route("GET", "/skills/{name*}", get_skill),
]
