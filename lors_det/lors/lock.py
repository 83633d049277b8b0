"""A lock of an object's own, which copies and files do not share."""

from __future__ import annotations

from threading import RLock
from types import TracebackType


class OwnLock:
    """``threading.RLock`` in an object that may be copied or pickled: the copy has one of its own."""

    def __init__(self) -> None:
        self._lock = RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[OwnLock], tuple[()]]:
        return OwnLock, ()
