"""Tables ⇄ a folder of Parquet files with a manifest: what ingestion leaves and the loader reads.

Columns come in as numpy arrays and leave as rows of Python values; Arrow stays in here.
"""

from atlas.spool.columns import Coded, Ragged, Values
from atlas.spool.manifest import RunRecord
from atlas.spool.reader import Spool, open_spools
from atlas.spool.writer import SpoolWriter

__all__ = ["Coded", "Ragged", "RunRecord", "Spool", "SpoolWriter", "Values", "open_spools"]
