"""Whose is an untagged event on a device that users were seen on? The policies to choose from."""

from typing import Literal, get_args

Policy = Literal["any", "first", "next", "last", "none"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
# Those under which each event has one owner, so that people can be counted.
PARTITIONS: tuple[Policy, ...] = tuple(policy for policy in POLICIES if policy != "any")
