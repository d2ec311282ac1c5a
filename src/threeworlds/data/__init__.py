"""Clips on disk, splits, ingest and sampling. Moves bytes; knows no model and no loss."""

from threeworlds.data.clips import DataError
from threeworlds.data.duplicates import NearDuplicate, near_duplicates
from threeworlds.data.ingest import IngestReport, ingest
from threeworlds.data.store import ClipStore, ClipWriter
from threeworlds.data.survey import Survey, survey
from threeworlds.data.windows import Turns, Windows

__all__ = [
    "ClipStore",
    "ClipWriter",
    "DataError",
    "IngestReport",
    "NearDuplicate",
    "Survey",
    "Turns",
    "Windows",
    "ingest",
    "near_duplicates",
    "survey",
]
