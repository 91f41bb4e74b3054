"""Core: urls."""

from __future__ import annotations

NAME = "JumpCloud"
URL_PREFIX = "/jumpcloud"
