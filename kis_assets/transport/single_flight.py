"""One shared call for threads of this process that request the same value at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Flights:
    """Running calls of this process: a second caller for the same key gets the same result."""

    def __init__(self) -> None:
        self._flying: dict[str, Future[Any]] = {}
        self._lock = threading.Lock()

    def once(self, key: str, call: Callable[[], T]) -> T:
        """The result of `call`, or of the running call of another thread for the same key."""
        with self._lock:
            flying = self._flying.get(key)
            mine = flying is None
            if flying is None:
                flying = self._flying[key] = Future()
        if not mine:
            return cast("Future[T]", flying).result()
        try:
            result = call()
        except BaseException as error:
            flying.set_exception(error)
            raise
        else:
            flying.set_result(result)
            return result
        finally:
            with self._lock:
                del self._flying[key]
