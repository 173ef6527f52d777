"""What is expected to go wrong: its message is all that a user needs to know."""

from threadline.classify import RulesError
from threadline.contract.errors import ThreadlineError
from threadline.control import ControlError
from threadline.enrich import CountryFileError
from threadline.http.folder import FolderInUse
from threadline.ingest.lines import FileError
from threadline.ingest.log import LogError
from threadline.migrations import SchemaTooNew
from threadline.settings import SettingsError
from threadline.store import StoreError

EXPECTED = (
    ControlError,
    CountryFileError,
    FileError,
    FolderInUse,
    LogError,
    RulesError,
    SchemaTooNew,
    SettingsError,
    StoreError,
    ThreadlineError,
    OSError,
)
