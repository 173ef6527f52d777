"""What is expected to go wrong: its message is all that a user needs to know."""

from threadline.contract.errors import ThreadlineError
from threadline.control import ControlError
from threadline.http.folder import FolderInUse
from threadline.ingest.lines import FileError
from threadline.ingest.log import LogError
from threadline.migrations import SchemaTooNew
from threadline.settings import SettingsError
from threadline.store import StoreError

EXPECTED = (
    ControlError,
    FileError,
    FolderInUse,
    LogError,
    SchemaTooNew,
    SettingsError,
    StoreError,
    ThreadlineError,
    OSError,
)
