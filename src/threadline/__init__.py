"""Threadline: analytics that ties anonymous visitors to known users.

`pip install threadline` brings the client; `threadline[server]` the server.
"""

from threadline.client import Client

__version__ = "0.1.0"

__all__ = ["Client", "__version__"]
