from threadline.control.check import Problem, check
from threadline.control.errors import ControlError
from threadline.control.file import new_pepper
from threadline.control.keys import ENVS, KINDS, SCOPES, Key, Token
from threadline.control.origins import normalise_origin, origin_allowed
from threadline.control.plane import Control
from threadline.control.snapshot import Project

__all__ = [
    "ENVS",
    "KINDS",
    "SCOPES",
    "Control",
    "ControlError",
    "Key",
    "Problem",
    "Project",
    "Token",
    "check",
    "new_pepper",
    "normalise_origin",
    "origin_allowed",
]
