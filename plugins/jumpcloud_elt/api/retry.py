"""When a failed request is tried again, and after how long."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import NoReturn, TypeVar

import tenacity

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.errors import RequestError, TransientError

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class RetryPolicy:
    """Exponential waits with jitter, `Retry-After` where JumpCloud sends it, and a bounded number of attempts.

    Only TransientError is retried. A `Retry-After` beyond `retry_wait_max_seconds` fails at once. `pause` waits.
    """

    def __init__(self, settings: Settings, pause: Callable[[float], None]) -> None:
        self._pause = pause
        self._attempts = settings.request_attempts
        self._wait_seconds = settings.retry_wait_seconds
        self._wait_max_seconds = settings.retry_wait_max_seconds
        self._backoff = tenacity.wait_exponential(
            multiplier=self._wait_seconds, max=self._wait_max_seconds
        ) + tenacity.wait_random(0, self._wait_seconds)

    def call(self, once: Callable[[], _T], attempts: int | None = None, *, repeats_unknown: bool = True) -> _T:
        """Return the result of `once`, called at most `attempts` times (None: as often as configured).

        `repeats_unknown`: also call it again where nobody knows what became of the request (`is_outcome_unknown`).
        Raises TransientError saying how often the request was tried, and at once what cannot heal.
        """

        def is_retried(error: BaseException) -> bool:
            return (
                isinstance(error, TransientError)
                and (error.retry_after or 0) <= self._wait_max_seconds
                and (repeats_unknown or not is_outcome_unknown(error))
            )

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_retried),
            stop=tenacity.stop_after_attempt(attempts or self._attempts),
            wait=self._wait,
            sleep=self._pause,
            before_sleep=_log_attempt,
            retry_error_callback=_give_up,
        )(once)

    def pause(self, error: TransientError) -> float:
        """Seconds for which a 429 stops all requests: `Retry-After`, or none where that is beyond the maximum."""
        asked = self._wait_seconds if error.retry_after is None else error.retry_after
        return asked if asked <= self._wait_max_seconds else 0.0

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, TransientError) else None
        return max(asked or 0.0, min(self._backoff(state), self._wait_max_seconds))


def is_outcome_unknown(error: RequestError) -> bool:
    """Whether a change may have happened although its request failed: no answer, a 5xx, or a redirect.

    A 429 is an answer: nothing was changed.
    """
    if isinstance(error, TransientError):
        return error.status != HTTPStatus.TOO_MANY_REQUESTS
    return error.status is not None and HTTPStatus.MULTIPLE_CHOICES <= error.status < HTTPStatus.BAD_REQUEST


def _log_attempt(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("%s; attempt %d, next in %.1f s", error, state.attempt_number, state.upcoming_sleep)


def _give_up(state: tenacity.RetryCallState) -> NoReturn:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, TransientError)
    raise TransientError(
        f"{error}; tried {state.attempt_number} times",
        status=error.status,
        detail=error.detail,
        retry_after=error.retry_after,
    ) from error
