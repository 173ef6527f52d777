from threadline.control.keys import ENVS, KINDS, Token
from threadline.control.origins import origin_allowed
from threadline.control.plane import Control, ControlError, Key, Project

__all__ = [
    "ENVS",
    "KINDS",
    "Control",
    "ControlError",
    "Key",
    "Project",
    "Token",
    "origin_allowed",
]
