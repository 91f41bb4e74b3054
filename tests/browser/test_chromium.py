"""The browser tests are skipped, saying why, where there is no browser; and fail where one is required."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.browser import find_chromium


def test_without_a_browser_tests_are_skipped_or_fail_as_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("REQUIRE_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no browser: none of chromium, .* is on the PATH"):
        find_chromium()
    monkeypatch.setenv("REQUIRE_BROWSER", "1")
    with pytest.raises(pytest.fail.Exception, match="REQUIRE_BROWSER is set, and there is no browser"):
        find_chromium()
    browser = tmp_path / "chromium-browser"
    browser.write_text("#!/bin/sh\n")
    browser.chmod(0o755)
    assert find_chromium() == str(browser)
