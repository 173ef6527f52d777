from threadline.control.access import ROLES, SHARE, Member, Session, ShareLink, read_role
from threadline.control.check import Problem, check
from threadline.control.errors import ControlError, ControlFileError
from threadline.control.keys import ENVS, KINDS, SCOPES, Key, Token
from threadline.control.opened import new_pepper
from threadline.control.origins import normalise_origin, origin_allowed
from threadline.control.passwords import check_password, hash_password, password_matches
from threadline.control.plane import Control
from threadline.control.sessions import SignedIn
from threadline.control.snapshot import Project

__all__ = [
    "ENVS",
    "KINDS",
    "ROLES",
    "SCOPES",
    "SHARE",
    "Control",
    "ControlError",
    "ControlFileError",
    "Key",
    "Member",
    "Problem",
    "Project",
    "Session",
    "ShareLink",
    "SignedIn",
    "Token",
    "check",
    "check_password",
    "hash_password",
    "new_pepper",
    "normalise_origin",
    "origin_allowed",
    "password_matches",
    "read_role",
]
