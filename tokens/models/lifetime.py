"""How long a token lives from its making to its planned end, compared in the database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import BooleanField, DurationField, F, Func, Value

_SECOND = timedelta(seconds=1)


class LivesLonger(Func):
    """Whether a token's planned end is farther than a span from its making; NULL where it has none.

    The span has whole seconds, as the rules' days do.
    """

    template = "(%(expressions)s)"
    arg_joiner = " > "
    output_field = BooleanField()

    def __init__(self, span: timedelta) -> None:
        self.span = span
        latest = F("created_at") + Value(span, output_field=DurationField())
        super().__init__(F("expires_at"), latest)

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        """Compare whole seconds, then what is written after them.

        SQLite has no spans, and what Django has in their place calls Python for every row, which takes
        ten times as long as all the rest.
        """
        expires, latest = self.source_expressions
        ends, _ = compiler.compile(expires)
        begins, _ = compiler.compile(latest.get_source_expressions()[0])
        # Of what stands after the seconds SQLite's own functions make thousandths, rounded.
        lasts = f"strftime('%%s', substr({ends}, 1, 19)) - strftime('%%s', substr({begins}, 1, 19))"
        sql = f"(({lasts}, substr({ends}, 20)) > (%s, substr({begins}, 20)))"
        return sql, (self.span // _SECOND,)
