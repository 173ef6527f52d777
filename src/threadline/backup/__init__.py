"""Backups of a data folder: taken while it is in use, kept in a folder, read back, restored.

`snapshot` holds a moment fast, `packing` makes blobs of it, `targets` is where they lie, `manifest`
says what makes one backup; `making`, `checking`, `restoring` and `pruning` are what is done.
"""
