"""The configuration of RudderStack's browser client, as far as it insists on it."""

import msgspec


class Source(msgspec.Struct):
    """A project, as that client knows it. `config`: nothing is reported about the client itself.
    `destinations`: scripts of others that it would load; none."""

    id: str
    enabled: bool = True
    config: dict[str, str] = {}
    destinations: list[str] = []


class SourceConfig(msgspec.Struct):
    """What that client is to do: to send."""

    source: Source
