"""What is stored of a project that was deleted: by the server that runs, else here."""

import time
from pathlib import Path

from threadline.control import Control
from threadline.runtime.folder import running_server
from threadline.runtime.services import Services
from threadline.runtime.socket_store import SocketStore
from threadline.runtime.upkeep import remove
from threadline.settings import Settings

LOOK_AGAIN_S = 0.2


def delete_stored(settings: Settings, project_id: str) -> None:
    """Returns when nothing is stored any more. Raises what `Services` and `remove` raise."""
    folder = Path(settings.data)
    with Control.of(settings, create=False) as control:
        if running_server(folder):
            SocketStore(folder).look_around()
        while running_server(folder) and project_id in control.deleted_projects():
            time.sleep(LOOK_AGAIN_S)
        if project_id not in control.deleted_projects():
            return
    with Services(settings) as services:
        remove(services, project_id)
