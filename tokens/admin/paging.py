"""Pages of a table with a million rows: nothing is counted beyond what somebody would leaf through."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, cast

from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.paginator import Page, Paginator
from django.db import connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

# A hundred pages of fifty; who would need the next one needs a filter.
MOST = 5_000
# For how long rows beyond the page are looked for, in seconds, only to say how many there are.
PATIENCE = 0.15
_READ = 250

if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
else:
    AnyPaginator = Paginator


class BoundedPaginator(AnyPaginator):
    """Finds the keys of the rows in their order, at most ``MOST``, and reads the rows of one page only.

    The keys answer both how many pages there are and what stands on one, so that the rows are looked
    for once. They come as they are found, and once the page that was asked for is full, looking on
    ends with ``PATIENCE``: then the count says "at least".
    """

    def __init__(self, *arguments: Any, wanted: int = 1, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.wanted = wanted
        self.cut = False

    @cached_property
    def keys(self) -> list[Any]:
        """Return the primary keys of the first rows."""
        # One more than the page holds, which says whether there is a next one.
        enough, until = self.wanted * self.per_page + 1, time.monotonic() + PATIENCE
        found: list[Any] = []
        rows = cast("QuerySet[Any]", self.object_list).values_list("pk", flat=True)[:MOST]
        with _as_they_are_found():
            for key in rows.iterator(chunk_size=_READ):
                found.append(key)
                if len(found) % _READ == 0 and len(found) >= enough and time.monotonic() > until:
                    self.cut = True
                    break
            else:
                self.cut = len(found) >= MOST
        return found

    @cached_property
    def count(self) -> int:
        """Return how many rows were found."""
        return len(self.keys)

    def page(self, number: int | str) -> Page[Any]:
        """Return one page; a row that has ceased to match since the keys were found is left out."""
        valid = self.validate_number(number)
        first = (valid - 1) * self.per_page
        wanted = self.keys[first : first + self.per_page]
        rows = cast("QuerySet[Any]", self.object_list)
        return Page(list(rows.filter(pk__in=wanted)) if wanted else [], valid, self)


def _as_they_are_found() -> contextlib.AbstractContextManager[Any]:
    """Return what makes a database hand out rows while it looks for more.

    PostgreSQL does so within a transaction only: outside of one a cursor holds the whole result. On
    SQLite, which always does, a transaction would be a writer and keep others waiting.
    """
    return transaction.atomic() if connection.vendor == "postgresql" else contextlib.nullcontext()


class BoundedList(ChangeList):
    """A list that says "5000 or more match" where it stopped counting."""

    def get_results(self, request: HttpRequest) -> None:
        """Read one page and remember whether the count stopped."""
        super().get_results(request)
        paginator = cast("BoundedPaginator", self.paginator)
        if not self.multi_page:
            # Django would look for all matching rows again.
            self.result_list = paginator.page(1).object_list
        self.at_least = paginator.count if paginator.cut else 0


def wanted_page(request: HttpRequest) -> int:
    """Return the page that was asked for, as far as there may be one."""
    text = request.GET.get(PAGE_VAR, "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1
    return max(number, 1)
