"""The name and the URL prefix of the dashboard, for the plugin and for what links to it."""

from __future__ import annotations

NAME = "JumpCloud"
URL_PREFIX = "/jumpcloud"
