"""What agents see of Threadline: tools made from the registry of questions, resources and prompts.

Nothing here opens a store. A tool asks the API's own routes through `api.Api`, so keys, limits,
turns and errors are those of every other request. Only `server` and what stands on it import the
SDK, which takes a second: that is paid by the first who speaks MCP.
"""
