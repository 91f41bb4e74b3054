"""Where the tests find what they read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DAGS = ROOT / "dags"
# Published specifications and payloads, which are not redistributed: they lie beside the checkout, where they are.
SPECIFICATIONS = ROOT.parent / "shared" / "openapi"
SAMPLES = ROOT.parent / "shared" / "samples"
