from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.core import mail
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings as examples, strategies as st

from skytells_console.models import User
from tests.admin.conftest import POLICY, VIEW, Signer
from tests.cast import NOON, Clock, issue, make_user, origin
from tests.views.test_listing import use
from tokens import lifecycle, mailer, policy, policy_change, scopes
from tokens.models import (
    AccessToken,
    Notice,
    Policy,
    TokenActivity,
    TokenConsumer,
    TokenEvent,
)
from tokens.origin import network_of
from tokens.policy_change import Draft

pytestmark = pytest.mark.usefixtures("clock")
PAGE = "/admin/policy/"
DAY = timedelta(days=1)
OPEN: dict[str, Any] = {
    "version": "0",
    "max_lifetime_days": "",
    "max_write_lifetime_days": "",
    "default_lifetime_days": "",
    "no_expiration_allowed": "on",
    "allowed_scopes": list(scopes.BY_NAME),
    "max_live_tokens": "",
    "revoke_unused_after_days": "",
    "allowed_networks": "",
    "new_tokens_allowed": "on",
    "when": "renewal",
    "day": "",
}


def typed(**fields: Any) -> dict[str, Any]:
    """Return what the form sends; None leaves a field out, as a tick that is not there."""
    return {name: value for name, value in {**OPEN, **fields}.items() if value is not None}


def save(client: Client, **fields: Any) -> Any:
    """Preview, then save what was previewed, as a person does."""
    previewed = client.post(PAGE, typed(**fields))
    assert previewed.status_code == 200, previewed.context["form"].errors
    seen, version = previewed.context["seen"], previewed.context["version"]
    return client.post(PAGE, typed(**fields, seen=seen, save="1") | {"version": version})


@pytest.fixture
def field(alice: User, bob: User, clock: Clock) -> dict[str, AccessToken]:
    """What a policy of 60 days, 20 for writes and always an end would find."""
    made = {
        "fits": issue(alice, "fits").token,
        "writes": issue(alice, "writes", scopes=["projects.read", "projects.write"]).token,
        "long": issue(bob, "long", expires_at=clock.now + 90 * DAY).token,
        "endless": issue(bob, "endless", expires_at=None).token,
        "ended": issue(bob, "ended", expires_at=None).token,
    }
    lifecycle.revoke(token=made["ended"], origin=origin(bob))
    use(made["long"], clock.now, "203.0.113.40")
    return made


STRICT = {
    "max_lifetime_days": "60",
    "max_write_lifetime_days": "20",
    "no_expiration_allowed": None,
}


def test_the_preview_counts_each_rule_and_saves_nothing(
    field: dict[str, AccessToken], as_carol: Signer
) -> None:
    answer = as_carol(POLICY).post(PAGE, typed(**STRICT))
    page = answer.content.decode()
    assert (
        "This would put 3 tokens of 2 people out of policy; 1 of these tokens was used today."
        in page
    )
    assert "Nothing stops by itself" in page
    found = {line.rule: (line.tokens, line.people, line.used) for line in lines(answer)}
    assert found == {
        "No expiration": (1, 1, 0),
        "Lives longer than 60 days": (1, 1, 1),
        "Holds a write scope, lives longer than 20 days": (1, 1, 0),
    }
    assert not Policy.objects.exists()


def lines(answer: Any) -> list[policy_change.Line]:
    found: list[policy_change.Line] = answer.context["effect"].lines
    return found


def test_tokens_of_who_is_switched_off_are_not_counted(
    field: dict[str, AccessToken], bob: User, clock: Clock
) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)
    draft = Draft(
        max_write_lifetime_days=20,
        no_expiration_allowed=False,
        allowed_networks="192.0.2.0/24",
        max_live_tokens=1,
    )
    effect = policy_change.effect(draft.rules(), clock.now, clock.now - DAY, 1)
    # All that is left is alice's: two tokens, of which one writes.
    assert (effect.total.tokens, effect.total.people, effect.total.used) == (1, 1, 0)
    assert (effect.live, effect.idle, effect.full) == (2, 0, 1)
    assert effect.elsewhere == policy_change.Elsewhere(0, frozenset())
    assert len(effect.out) == 1


def test_where_all_fit_the_preview_says_so(field: dict[str, AccessToken], as_carol: Signer) -> None:
    assert "All 4 tokens fit." in as_carol(POLICY).post(PAGE, typed()).content.decode()


def test_nothing_is_saved_that_was_not_looked_at(
    field: dict[str, AccessToken], as_carol: Signer
) -> None:
    client = as_carol(POLICY)
    answer = client.post(PAGE, typed(**STRICT, save="1"))
    assert answer.status_code == 422
    assert "Nothing is saved yet" in answer.content.decode()
    seen = client.post(PAGE, typed(**STRICT)).context["seen"]
    other = client.post(PAGE, typed(**{**STRICT, "max_lifetime_days": "50"}, seen=seen, save="1"))
    assert other.status_code == 422
    assert not Policy.objects.exists()


def test_numbers_that_changed_since_are_shown_again(
    field: dict[str, AccessToken], bob: User, as_carol: Signer
) -> None:
    client = as_carol(POLICY)
    seen = client.post(PAGE, typed(**STRICT)).context["seen"]
    issue(bob, "one-more", expires_at=None)
    answer = client.post(PAGE, typed(**STRICT, seen=seen, save="1"))
    assert answer.status_code == 422
    assert "The numbers have changed" in answer.content.decode()
    assert "4 tokens of 2 people" in answer.content.decode()
    assert not Policy.objects.exists()


def test_saving_makes_a_version_with_its_event(
    field: dict[str, AccessToken], as_carol: Signer, carol: User
) -> None:
    client = as_carol(POLICY)
    assert save(client, **STRICT).status_code == 303
    row = Policy.objects.get()
    assert (row.max_lifetime_days, row.max_write_lifetime_days) == (60, 20)
    assert (row.no_expiration_allowed, row.allowed_scopes, row.blocks_from) == (False, "", None)
    assert row.created_by_id == carol.pk
    (event,) = TokenEvent.objects.filter(kind="policy.changed")
    assert event.data == {
        "version": row.pk,
        "changed": ["max_lifetime_days", "max_write_lifetime_days", "no_expiration_allowed"],
    }
    page = client.get(PAGE).content.decode()
    assert 'value="60"' in page
    assert f"version {row.pk} by carol@example.com" in page
    assert AccessToken.objects.filter(revoked_at__isnull=True).count() == 4


@pytest.mark.parametrize("when", ["renewal", "now"])
def test_a_repeat_saves_no_second_version(
    when: str, field: dict[str, AccessToken], as_carol: Signer, clock: Clock
) -> None:
    client = as_carol(POLICY)
    sent = typed(**STRICT, when=when)
    seen = client.post(PAGE, sent).context["seen"]
    for _ in range(2):
        answer = client.post(PAGE, {**sent, "seen": seen, "save": "1"})
        assert answer.status_code == 303
        clock.tick(minutes=1)
    assert Policy.objects.count() == 1
    assert TokenEvent.objects.filter(kind="policy.changed").count() == 1


def test_who_was_overtaken_is_told(field: dict[str, AccessToken], as_carol: Signer) -> None:
    client = as_carol(POLICY)
    mine = typed(**STRICT)
    seen = client.post(PAGE, mine).context["seen"]
    save(client, max_lifetime_days="10")
    answer = client.post(PAGE, {**mine, "seen": seen, "save": "1"})
    assert answer.status_code == 409
    assert "Somebody saved other rules meanwhile" in answer.content.decode()
    assert Policy.objects.count() == 1


def test_a_block_now_a_block_later_and_none(
    field: dict[str, AccessToken], as_carol: Signer, clock: Clock
) -> None:
    client = as_carol(POLICY)
    save(client, **STRICT, when="now")
    assert Policy.objects.latest("id").blocks_from == clock.now
    first = clock.now
    clock.tick(minutes=5)
    save(client, **{**STRICT, "max_lifetime_days": "61"}, when="now")
    assert Policy.objects.latest("id").blocks_from == first
    save(client, **STRICT, when="date", day="2026-12-24")
    assert Policy.objects.latest("id").blocks_from.isoformat() == "2026-12-24T00:00:00+00:00"  # type: ignore[union-attr]
    assert 'value="2026-12-24"' in client.get(PAGE).content.decode()
    save(client, **STRICT)
    assert Policy.objects.latest("id").blocks_from is None


NUMBERS = (
    "max_lifetime_days",
    "max_write_lifetime_days",
    "default_lifetime_days",
    "max_live_tokens",
    "revoke_unused_after_days",
)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        *(({name: "0"}, "Type a whole number from 1 to") for name in NUMBERS),
        *(({name: "-5"}, "Type a whole number from 1 to") for name in NUMBERS),
        *(({name: "1.5"}, "Type a whole number from 1 to") for name in NUMBERS),
        *(({name: "9" * 400}, "Type a whole number from 1 to") for name in NUMBERS),
        *(({name: "ten\0"}, "Type a whole number from 1 to") for name in NUMBERS),
        ({"max_lifetime_days": "3661"}, "Type a whole number from 1 to 3660"),
        ({"allowed_scopes": []}, "Tick at least one scope."),
        ({"allowed_scopes": ["root"]}, "Tick scopes of the list only."),
        ({"allowed_networks": "here"}, "Write one network a line"),
        ({"allowed_networks": "10.0.0.0/33"}, "Write one network a line"),
        ({"allowed_networks": "10.0.0.0/8\n" * 201}, "Name at most 200 networks."),
        ({"when": ""}, "Choose what happens to tokens"),
        ({"when": "never"}, "Choose what happens to tokens"),
        ({"when": "date"}, "Choose a day that is still to come"),
        ({"when": "date", "day": "2026-11-23"}, "Choose a day that is still to come"),
        ({"when": "date", "day": "2031-01-01"}, "Choose a day that is still to come"),
        ({"when": "date", "day": "soon"}, "Choose a day that is still to come"),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_what_cannot_be_is_refused_with_what_was_typed(
    fields: dict[str, Any], sentence: str, as_carol: Signer
) -> None:
    answer = as_carol(POLICY).post(PAGE, typed(**{"allowed_networks": "192.0.2.0/24", **fields}))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert sentence in page
    assert "allowed_networks" in fields or "192.0.2.0/24" in page
    assert not Policy.objects.exists()


@pytest.mark.parametrize(
    ("day", "kind"),
    [("", "date"), ("2031-01-01", "date"), ("soon", "text"), ("2031-02-30", "text")],
)
def test_a_refused_day_is_given_back_in_a_field_that_shows_it(
    day: str, kind: str, as_carol: Signer
) -> None:
    """A browser's field for a day stays empty where its value is none."""
    answer = as_carol(POLICY).post(PAGE, typed(when="date", day=day))
    held = f' value="{day}"' if day else ""
    assert answer.status_code == 422
    assert f'<input type="{kind}" name="day"{held}' in answer.content.decode()


def test_networks_are_kept_as_they_are_understood(as_carol: Signer) -> None:
    save(as_carol(POLICY), allowed_networks=" 203.0.113.7/24\r\n2001:db8::1/48 ")
    assert Policy.objects.get().allowed_networks == "203.0.113.0/24\n2001:db8::/48"


def test_what_is_out_of_the_saved_policy_can_be_listed(
    field: dict[str, AccessToken], as_carol: Signer
) -> None:
    client = as_carol(POLICY, VIEW)
    save(client, **STRICT)
    answer = client.get("/admin/tokens/accesstoken/", {"policy": "out"})
    listed = {token.name for token in answer.context["cl"].result_list}
    assert listed == {"writes", "long", "endless"}


def test_the_unused_that_would_be_ended_are_counted(
    alice: User, as_carol: Signer, clock: Clock
) -> None:
    issue(alice, "old", at=clock.now - 80 * DAY, expires_at=clock.now + DAY)
    answer = as_carol(POLICY).post(PAGE, typed(revoke_unused_after_days="60"))
    assert answer.context["effect"].idle == 1
    assert "1 token has been unused" in " ".join(answer.content.decode().split())


def test_the_number_of_queries_is_constant(alice: User, bob: User, as_carol: Signer) -> None:
    client = as_carol(POLICY)
    issue(alice, "a", expires_at=None)
    with CaptureQueriesContext(connection) as few:
        client.post(PAGE, typed(**STRICT))
    for number in range(10):
        issue(make_user(f"p{number}@example.com"), "b", expires_at=None)
    with CaptureQueriesContext(connection) as many:
        client.post(PAGE, typed(**STRICT))
    assert len(many) == len(few)


# --- The numbers that are shown are the rows that are affected -----------------------------------

SOME = sorted(scopes.BY_NAME)
TOKENS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sets(st.sampled_from(SOME), min_size=1, max_size=3),
        st.none() | st.integers(1, 366),
        st.booleans(),
        st.booleans(),
    ),
    max_size=5,
)
DRAFTS = st.builds(
    Draft,
    max_lifetime_days=st.none() | st.integers(1, 366),
    max_write_lifetime_days=st.none() | st.integers(1, 366),
    no_expiration_allowed=st.booleans(),
    allowed_scopes=st.sets(st.sampled_from(SOME)).map(lambda names: " ".join(sorted(names))),
    blocks_from=st.just(NOON),
)


@given(made=TOKENS, draft=DRAFTS)
@examples(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_numbers_shown_are_the_rows_that_the_saved_rules_refuse(
    made: list[tuple[int, set[str], int | None, bool, bool]],
    draft: Draft,
    alice: User,
    bob: User,
    carol: User,
) -> None:
    with transaction.atomic():
        used = make(made, [alice, bob, carol])
        effect = policy_change.effect(draft.rules(), NOON, NOON.replace(hour=0))
        with mock.patch("tokens.policy_change.effect.STRETCH", 1):
            one_by_one = policy_change.effect(draft.rules(), NOON, NOON.replace(hour=0))
        policy_change.save(draft, after=0, origin=origin(carol, at=NOON))
        rules = policy.current_rules()
        refused = [
            token
            for token in AccessToken.objects.live(NOON).select_related("owner")
            if not policy.within_policy(facts(token), rules, NOON)
        ]
        accepted = AccessToken.objects.filter(policy.accepted_q(rules, NOON)).count()
        rows = AccessToken.objects.order_by("pk")
        listed = set(policy_change.outside(rows, rules, NOON))
        few = [each.pk for each in policy_change.outside_to_list(rows, rules, NOON)]
        with mock.patch("tokens.policy_change.outside._FEW", 0):
            few_of_many = [each.pk for each in policy_change.outside_to_list(rows, rules, NOON)]
        transaction.set_rollback(True)
    assert listed == set(refused)
    assert few == few_of_many == [token.pk for token in sorted(refused, key=lambda each: each.pk)]
    assert one_by_one == effect
    assert effect.total.tokens == len(refused)
    assert effect.total.people == len({token.owner_id for token in refused})
    assert effect.total.used == sum(token.pk in used for token in refused)
    assert effect.live - effect.total.tokens == accepted
    assert bool(effect.lines) == bool(refused)
    assert sum(line.tokens for line in effect.lines) >= effect.total.tokens


@pytest.mark.parametrize("begins", [timedelta(0), timedelta(microseconds=1), DAY / 7])
def test_a_lifetime_is_too_long_from_a_microsecond_on(begins: timedelta, alice: User) -> None:
    rules = Draft(max_lifetime_days=30).rules()
    near = [timedelta(microseconds=n) for n in (-1_000_001, -999_999, -1, 0, 1, 999_999, 1_000_001)]
    made = NOON - DAY + begins
    for number, off in enumerate(near):
        AccessToken.objects.create(
            owner=alice,
            name=str(number),
            digest=bytes([number]) * 32,
            pepper_id=1,
            scopes="inference",
            created_at=made,
            created_via="console",
            expires_at=made + 30 * DAY + off,
        )
    found = policy_change.outside(AccessToken.objects.all(), rules, NOON)
    too_long = {str(number) for number, off in enumerate(near) if off > timedelta(0)}
    assert set(found.values_list("name", flat=True)) == too_long


def facts(token: AccessToken) -> policy.TokenFacts:
    return policy.TokenFacts(token.created_at, token.expires_at, token.scope_names)


def make(made: list[tuple[int, set[str], int | None, bool, bool]], people: list[User]) -> set[int]:
    """Write the rows at once, many examples long, and return those that were used today."""
    rows = [
        AccessToken(
            owner=people[owner],
            name=f"t{number}",
            digest=bytes([number]) * 32,
            pepper_id=1,
            scopes=" ".join(sorted(names)),
            created_at=NOON - DAY,
            created_via="console",
            expires_at=None if days is None else NOON - DAY + days * DAY,
            revoked_at=NOON if is_revoked else None,
            revoke_kind="owner" if is_revoked else "",
        )
        for number, (owner, names, days, _, is_revoked) in enumerate(made)
    ]
    AccessToken.objects.bulk_create(rows)
    used = {row.pk for row, (*_, is_used, _) in zip(rows, made, strict=True) if is_used}
    TokenActivity.objects.bulk_create(
        [TokenActivity(token_id=pk, last_used_at=NOON) for pk in used]
    )
    return used


# --- What is not out of policy and yet affected --------------------------------------------------


@given(
    made=TOKENS,
    most=st.integers(1, 4),
    inside=st.sampled_from(
        ["10.0.0.0/8", "10.0.0.0/24 10.0.2.0/24", "10.0.1.7/32", "2001:db8::/32"]
    ),
)
@examples(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_who_has_no_room_and_what_comes_from_elsewhere_is_what_the_rules_say(
    made: list[tuple[int, set[str], int | None, bool, bool]],
    most: int,
    inside: str,
    alice: User,
    bob: User,
    carol: User,
) -> None:
    draft = Draft(max_live_tokens=most, allowed_networks=inside)
    people = [alice, bob, carol]
    with transaction.atomic():
        make(made, people)
        seen = {}
        for token in AccessToken.objects.all():
            seen[token.pk] = f"10.0.{token.pk % 4}.9"
            TokenConsumer.objects.create(
                token=token,
                consumer_key="c",
                network=network_of(seen[token.pk]),
                first_at=NOON,
                last_at=NOON,
            )
        rules = draft.rules()
        effect = policy_change.effect(rules, NOON, NOON)
        living = AccessToken.objects.live(NOON)
        full = sum(not has_room(person, rules) for person in people)
        # Every address of a network is refused, which is what the preview says of it.
        barred = [token for token in living if not any_address_allowed(seen[token.pk], rules)]
        transaction.set_rollback(True)
    assert effect.full == full
    assert effect.elsewhere is not None
    assert effect.elsewhere.tokens == len(barred)
    assert effect.elsewhere.owners == {token.owner_id for token in barred}
    assert effect.concerned == effect.out | effect.elsewhere.owners


def has_room(person: User, rules: policy.Rules) -> bool:
    try:
        policy.check_room(person.pk, rules, now=NOON)
    except policy.Refused as refused:
        return refused.code != "too_many_tokens"
    return True


def any_address_allowed(address: str, rules: policy.Rules) -> bool:
    start = address.rpartition(".")[0]
    return any(policy.network_allowed(f"{start}.{last}", rules) for last in range(256))


def test_the_preview_tells_of_networks_and_of_people_without_room(
    field: dict[str, AccessToken], as_carol: Signer
) -> None:
    sent = typed(allowed_networks="192.0.2.0/24", max_live_tokens="2")
    page = " ".join(as_carol(POLICY).post(PAGE, sent).content.decode().split())
    assert "1 token of 1 person was used in the last 30 days from networks that are not" in page
    assert "2 people have as many active tokens as allowed" in page
    assert "Mail the owner when saved" in page


# --- The mail to the owners ----------------------------------------------------------------------


def test_the_owners_concerned_are_owed_one_mail_each_and_only_when_asked(
    field: dict[str, AccessToken], as_carol: Signer, alice: User, bob: User
) -> None:
    client = as_carol(POLICY)
    save(client, **STRICT)
    assert not Notice.objects.filter(kind="policy_changed").exists()
    save(client, **{**STRICT, "max_lifetime_days": "59"}, mail_owners="on")
    owed = Notice.objects.filter(kind="policy_changed")
    assert set(owed.values_list("owner_id", flat=True)) == {alice.pk, bob.pk}
    assert owed.count() == 2


def test_the_tick_stands_at_first_and_stays_as_it_was_left(
    field: dict[str, AccessToken], as_carol: Signer
) -> None:
    client = as_carol(POLICY)
    first = client.post(PAGE, typed(**STRICT))
    assert first.context["mail_owners"]
    again = client.post(PAGE, typed(**STRICT, seen=first.context["seen"]))
    assert not again.context["mail_owners"]


def test_the_mail_says_until_when_and_which_tokens(
    field: dict[str, AccessToken], as_carol: Signer, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        save(as_carol(POLICY), **STRICT, when="date", day="2026-12-24", mail_owners="on")
    sent = {message.to[0]: message for message in mail.outbox}
    assert set(sent) == {"alice@example.com", "bob@example.com"}
    assert sent["alice@example.com"].subject == "writes breaks a new rule"
    text = " ".join(str(sent["bob@example.com"].body).split())
    assert "keep working until 24 December 2026, 00:00 UTC. Rotate them before." in text
    assert "long" in text
    assert "endless" in text
    assert "writes" not in text
    assert not Notice.objects.filter(kind="policy_changed", sent_at__isnull=True).exists()


def test_a_server_that_is_away_stops_no_save_and_the_mail_goes_later(
    field: dict[str, AccessToken],
    as_carol: Signer,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    def away() -> Any:
        raise ConnectionRefusedError

    with monkeypatch.context() as patched, django_capture_on_commit_callbacks(execute=True):
        patched.setattr("django.core.mail.backends.locmem.EmailBackend.open", lambda self: away())
        assert save(as_carol(POLICY), **STRICT, mail_owners="on").status_code == 303
    assert Policy.objects.count() == 1
    assert mail.outbox == []
    clock.tick(hours=2)
    Notice.objects.exclude(kind="policy_changed").delete()
    assert mailer.deliver_all().sent == 2


def test_what_was_mended_before_the_mail_went_is_no_news(
    field: dict[str, AccessToken], as_carol: Signer, bob: User, clock: Clock
) -> None:
    save(as_carol(POLICY), **STRICT, mail_owners="on")
    for name in ("long", "endless"):
        lifecycle.revoke(token=field[name], origin=origin(bob))
    Notice.objects.exclude(kind="policy_changed").delete()
    mailer.deliver_all()
    assert [message.to for message in mail.outbox] == [["alice@example.com"]]
