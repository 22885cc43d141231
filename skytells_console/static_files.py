"""How static files are served while one release takes over from another."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from whitenoise.middleware import WhiteNoiseMiddleware


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """Serves what was collected before this process started, and what a newer release collects later.

    A page of the new release may send its reader to a process of the old one for the stylesheet, on
    this machine or behind the same proxy.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Remember which collection the files are of."""
        self._looking = threading.Lock()
        self._collected = self._collection()
        super().__init__(*args, **kwargs)

    def __call__(self, request: HttpRequest) -> Any:
        """Look into the folder once more, if it was filled anew, before a file is said to be missing."""
        path = request.path_info
        if not self.autorefresh and path.startswith(self.static_prefix) and path not in self.files:
            self._look_again()
        return super().__call__(request)

    def _look_again(self) -> None:
        # Whoever asks meanwhile waits, since the file may be among those that are being found.
        with self._looking:
            collection = self._collection()
            if collection != self._collected:
                self.add_files(self.static_root, prefix=self.static_prefix)
                self._collected = collection

    @staticmethod
    def _collection() -> int:
        """Return when files were last collected: the list is written each time, after all that it lists.

        Compressed copies follow, and what is looked up before them is served without them.
        """
        try:
            return (Path(settings.STATIC_ROOT) / "staticfiles.json").stat().st_mtime_ns
        except OSError:
            return 0
