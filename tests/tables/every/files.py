"""The files whose tables are looked at: that of TABLES, else the repository's own."""

import os
from pathlib import Path

TABLES = Path(__file__).parents[1]
OWN = (TABLES.parents[1] / "tables.toml", TABLES / "trial.toml", TABLES / "all_types.toml")
FILES = (Path(os.environ["TABLES"]).absolute(),) if os.environ.get("TABLES") else OWN
