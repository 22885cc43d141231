"""Pages of a table with a million rows: nothing is counted beyond what somebody would leaf through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Page, Paginator
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
    """Finds the keys of the first ``MOST`` rows in their order, and reads the rows of one page only.

    The keys answer both how many pages there are and what stands on one, so that the rows are looked
    for once; and what is sorted on the way is keys, not rows.
    """

    @cached_property
    def keys(self) -> list[Any]:
        """Return the primary keys of the first rows."""
        rows = cast("QuerySet[Any]", self.object_list)
        return list(rows.values_list("pk", flat=True)[:MOST])

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, or ``MOST`` if there are more."""
        return len(self.keys)

    def page(self, number: int | str) -> Page[Any]:
        """Return one page; a row that has ceased to match since the keys were found is left out."""
        valid = self.validate_number(number)
        first = (valid - 1) * self.per_page
        wanted = self.keys[first : first + self.per_page]
        rows = cast("QuerySet[Any]", self.object_list)
        return Page(list(rows.filter(pk__in=wanted)) if wanted else [], valid, self)


class BoundedList(ChangeList):
    """A list that says "5000 or more match" where it stopped counting."""

    def get_results(self, request: HttpRequest) -> None:
        """Read one page and remember whether the count stopped."""
        super().get_results(request)
        if not self.multi_page:
            # Django would look for all matching rows again.
            self.result_list = self.paginator.page(1).object_list
        self.at_least = MOST if self.result_count >= MOST else 0
