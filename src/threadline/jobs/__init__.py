"""Work that takes long: one table of it, one lock, progress, cancel, and going on after a kill."""

from threadline.jobs.locks import EXCLUSIVE, JobHeld, hold, is_at_work
from threadline.jobs.table import Job
from threadline.jobs.working import Cancelled, JobError, Work, jobs_db, work

__all__ = [
    "EXCLUSIVE",
    "Cancelled",
    "Job",
    "JobError",
    "JobHeld",
    "Work",
    "hold",
    "is_at_work",
    "jobs_db",
    "work",
]
