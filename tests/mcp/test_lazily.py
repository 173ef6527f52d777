"""Who does not speak MCP does not pay for it."""

import os
import subprocess
import sys

from tests.support import MEASURED

STARTED = """
import sys
import threadline
import threadline.cli.main
import threadline.http.serve
import threadline.cli.mcp
loaded = {"mcp", "mcp_types", "pydantic", "starlette"} & set(sys.modules)
assert not loaded, loaded
from threadline.mcp import catalogue, prompts, resources
assert len(catalogue.tools_for("rk")) > 20
loaded = {"mcp", "mcp_types", "pydantic", "starlette"} & set(sys.modules)
assert not loaded, loaded
import threadline.mcp.over_http
assert "mcp" in sys.modules
"""


def test_the_sdk_is_imported_by_the_first_call() -> None:
    environ = {**os.environ, **MEASURED}
    done = subprocess.run(
        [sys.executable, "-c", STARTED], env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
