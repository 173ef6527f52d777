"""MCP over standard input and output, as clients start a program of their own for it."""

from mcp.server.stdio import stdio_server

from threadline.mcp.api import Session
from threadline.mcp.server import create


async def serve(session: Session) -> None:
    """Until there is no more input. Nothing else may write to standard output meanwhile."""
    server = create(lambda ctx: session)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
