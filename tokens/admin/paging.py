"""Pages of a table with a million rows: nothing is counted beyond what somebody would leaf through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

# A hundred pages of fifty; who would need the next one needs a filter.
MOST = 5_000

if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
else:
    AnyPaginator = Paginator


class BoundedPaginator(AnyPaginator):
    """Counts at most ``MOST`` rows, so that the last page is never farther than that."""

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, or ``MOST`` if there are more."""
        return cast("QuerySet[Any]", self.object_list)[:MOST].count()


class BoundedList(ChangeList):
    """A list that says "5000 or more match" where it stopped counting."""

    def get_results(self, request: HttpRequest) -> None:
        """Read one page and remember whether the count stopped."""
        super().get_results(request)
        self.at_least = MOST if self.result_count >= MOST else 0
