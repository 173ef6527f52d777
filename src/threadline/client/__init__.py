from threadline.client.client import Client

__all__ = ["Client"]
