from __future__ import annotations

import stat
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from bench import admin, crowd, load, stage, verify
from bench.load import Sample
from skytells_console.models import User
from tokens import audit, authentication, secret
from tokens.management.commands import seed_bench
from tokens.models import AccessToken, Project, TokenEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def bench_allowed(settings: SimpleNamespace) -> None:
    settings.CONSOLE_BENCH = True


def seed(out: Path, *, users: int = 2, tokens: int = 5) -> str:
    printed = StringIO()
    call_command("seed_bench", users=users, tokens=tokens, out=str(out), stdout=printed)
    return printed.getvalue()


def test_it_refuses_an_installation_that_may_hold_something_real(
    settings: SimpleNamespace, tmp_path: Path
) -> None:
    settings.CONSOLE_BENCH = False
    with pytest.raises(CommandError, match="CONSOLE_BENCH=1"):
        seed(tmp_path / "values")
    assert not list(tmp_path.iterdir())
    assert not User.objects.exists()


@pytest.mark.parametrize(
    "bench",
    [lambda: admin.inside("", whole=False), lambda: crowd.fill(1, 1)],
    ids=["admin", "crowd"],
)
def test_a_bench_refuses_what_may_hold_something_real(
    bench: Callable[[], object], settings: SimpleNamespace
) -> None:
    settings.CONSOLE_BENCH = False
    with pytest.raises(SystemExit, match="CONSOLE_BENCH=1"):
        bench()
    assert not User.objects.exists()


@pytest.mark.parametrize("number", ["0", "-1", "many", "1.5", "²"])
@pytest.mark.parametrize("option", ["users", "tokens"])
@pytest.mark.usefixtures("bench_allowed")
def test_it_refuses_a_size_that_is_no_number_from_1_on(
    number: str, option: str, tmp_path: Path
) -> None:
    sizes = {"users": "1", "tokens": "1", option: number}
    arguments = [f"--{name}={size}" for name, size in sizes.items()]
    with pytest.raises(CommandError, match="whole number from 1 on"):
        call_command("seed_bench", *arguments, f"--out={tmp_path / 'values'}")
    assert not User.objects.exists()


@pytest.mark.usefixtures("bench_allowed")
def test_it_writes_over_no_file_and_follows_no_link(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("kept")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    for out in (kept, link):
        with pytest.raises(CommandError, match="exists already"):
            seed(out)
    with pytest.raises(CommandError, match="cannot be made"):
        seed(tmp_path / "missing" / "values")
    assert kept.read_text() == "kept"
    assert not (tmp_path / "elsewhere").exists()
    assert not User.objects.exists()


@pytest.mark.usefixtures("bench_allowed")
def test_only_its_owner_can_read_the_file_and_nothing_of_it_is_printed(tmp_path: Path) -> None:
    out = tmp_path / "values"
    printed = seed(out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "2 users and 5 tokens" in printed
    assert "tokens a second" in printed
    assert not secret.contains_token(printed)


@pytest.mark.usefixtures("bench_allowed")
def test_every_value_is_accepted_and_belongs_to_a_seeded_account(tmp_path: Path) -> None:
    out = tmp_path / "values"
    seed(out, users=2, tokens=5)
    values = out.read_text().splitlines()
    assert len(set(values)) == 5
    callers = [
        authentication.authenticate(
            authentication.Request(f"Bearer {value}", "192.0.2.1", "curl/8", "", timezone.now(), "")
        )
        for value in values
    ]
    owners = User.objects.in_bulk({caller.owner_id for caller in callers})
    assert sorted(owner.email for owner in owners.values()) == [
        "bench-000001@example.invalid",
        "bench-000002@example.invalid",
    ]
    assert not any(owner.has_usable_password() for owner in owners.values())
    assert not Project.objects.exists()


@pytest.mark.usefixtures("bench_allowed")
def test_rows_are_what_the_lifecycle_would_have_written(tmp_path: Path) -> None:
    out = tmp_path / "values"
    seed(out, users=1, tokens=3)
    for value in out.read_text().split():
        pepper_id, digest = secret.digest(value)
        row = AccessToken.objects.get(digest=digest)
        assert (row.pepper_id, row.head4, row.last4) == (pepper_id, value[7:11], value[-4:])
        assert (row.created_via, row.name_key, row.generation) == ("command", None, 1)
        assert row.expires_at is not None
        assert row.created_at < timezone.now() < row.expires_at
        assert row.scope_names
        assert (row.revoked_at, row.first_used_at, row.request_id) == (None, None, None)


@pytest.mark.usefixtures("bench_allowed")
def test_a_batch_leaves_one_event_that_names_its_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed_bench, "BATCH", 3)
    seed(tmp_path / "values", tokens=7)
    events = TokenEvent.objects.order_by("id")
    assert [(event.kind, event.data["count"]) for event in events] == [
        (audit.Kind.ISSUED_BATCH, 3),
        (audit.Kind.ISSUED_BATCH, 3),
        (audit.Kind.ISSUED_BATCH, 1),
    ]
    named = {public_id for event in events for public_id in event.data["tokens"]}
    assert named == {str(each) for each in AccessToken.objects.values_list("public_id", flat=True)}


@pytest.mark.usefixtures("bench_allowed")
def test_a_second_run_adds_accounts_with_new_numbers(tmp_path: Path) -> None:
    seed(tmp_path / "first", users=2)
    seed(tmp_path / "second", users=1)
    assert User.objects.filter(email="bench-000003@example.invalid").exists()
    assert (User.objects.count(), AccessToken.objects.count()) == (3, 10)


# --- The bench itself: what can be tested of it without measuring ----------------------------------


def test_the_bench_bounds_every_size() -> None:
    options = verify.parse(["--databases", "sqlite", "--tokens", "20", "--rotation", "500"])
    assert (options.rounds, options.workers, options.rotation) == (9, 2, 20)
    for wrong in (["--rounds", "0"], ["--seconds", "61"], ["--tokens", "x"], ["--databases", "x"]):
        with pytest.raises(SystemExit):
            verify.parse(wrong)


def test_the_bench_talks_to_this_machine_only() -> None:
    far = "postgresql://postgres@db.example.com/postgres"
    with pytest.raises(SystemExit, match="this machine only"):
        verify.parse(["--server", far])
    for near in (stage.SERVER, "postgresql://x@localhost/y", "postgresql://x@[::1]:5432/y"):
        assert stage.check_loopback(near) == near


def test_the_bench_prints_medians_spreads_and_ratios_of_a_round() -> None:
    def samples(*rates: int, errors: int = 0) -> list[Sample]:
        return [Sample(rate * 2 + errors, 2.0, errors, 0.125) for rate in rates]

    printed = verify.table(
        [verify.BARE, verify.OURS],
        {
            verify.BARE: samples(1000, 2000, 4000),
            verify.OURS: samples(800, 1000, 3000, errors=1),
        },
    )
    bare, ours = printed.splitlines()[-2:]
    assert bare.endswith("| 2000 | 1000–4000 | 1.00 | 1.00–1.00 | 0 | 12% |")
    assert ours.endswith("| 1000 | 800–3000 | 0.75 | 0.50–0.80 | 3 | 12% |")


def test_the_bench_says_which_client_it_uses() -> None:
    assert "wrk" in str(load.Load("wrk", 8, Path("values")))
    assert "built-in" in str(load.Load(None, 8, Path("values")))
