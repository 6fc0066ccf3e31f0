"""What a run leaves behind: identity, write, read, merge. The only room that knows a run folder."""

from record.claim import Claimed
from record.files import read_lines
from record.identity import group_id, run_folder, run_id, semantic, todays
from record.merge import Conflict, merge
from record.read import Status, exact, read_result, read_store, status
from record.run import Run, mark_failed
from record.schema import Result

__all__ = [
    "Claimed",
    "Conflict",
    "Result",
    "Run",
    "Status",
    "exact",
    "group_id",
    "mark_failed",
    "merge",
    "read_lines",
    "read_result",
    "read_store",
    "run_folder",
    "run_id",
    "semantic",
    "status",
    "todays",
]
