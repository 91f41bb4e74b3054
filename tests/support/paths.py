"""Where the tests find what they read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DAGS = ROOT / "dags"
# Published specifications and payloads, which are not redistributed: they lie beside the checkout, where they are.
SPECIFICATIONS = ROOT.parent / "shared" / "openapi"
SAMPLES = ROOT.parent / "shared" / "samples"

# Folders of a lake, with keys of their own and what DuckDB, fsspec, SQL or a URL could take for something else.
LAKE = "env=prod/organization_id=none/date=none/snapshot_at=none/payload=none"
ODD_FOLDERS = f'{LAKE}/SERVICE=it/a[1] [b-z]* it\'s "so" 100%20 #1 {{ü}} ;:,$&+=~'
