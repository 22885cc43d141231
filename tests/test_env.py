from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from skytells_console.env import Env

ROOT = Path(__file__).parent.parent
EMBEDDED = Path("/state/console.sqlite3")
HIDDEN = "hunter2-Zj4"


def faults_of(read: Callable[[Env], object], **source: str) -> list[str]:
    env = Env(source)
    read(env)
    with pytest.raises(ImproperlyConfigured) as caught:
        env.finish()
    first, *lines = str(caught.value).splitlines()
    assert first == "The environment needs mending:"
    assert all(line.startswith("  - ") for line in lines)
    assert HIDDEN not in str(caught.value)
    return [line.removeprefix("  - ") for line in lines]


# --- All faults at once -------------------------------------------------------------------------


def test_all_faults_stand_in_one_message_and_no_value_does(tmp_path: Path) -> None:
    def read(env: Env) -> None:
        env.secret("SECRET_KEY")
        env.secret("TOKEN_PEPPERS")
        env.secret("OTHER")
        env.flag("DEBUG", default=False)
        env.number("PORT", 8000, low=1, high=65535)
        env.base_url("PUBLIC_URL", "http://127.0.0.1:8000")
        env.database("DATABASE_URL", EMBEDDED)

    assert faults_of(
        read,
        TOKEN_PEPPERS=HIDDEN,
        TOKEN_PEPPERS_FILE=HIDDEN,
        OTHER_FILE=str(tmp_path / HIDDEN),
        DEBUG=HIDDEN,
        PORT=HIDDEN,
        PUBLIC_URL=HIDDEN,
        DATABASE_URL=HIDDEN,
    ) == [
        "SECRET_KEY (or SECRET_KEY_FILE) is missing.",
        "TOKEN_PEPPERS and TOKEN_PEPPERS_FILE are both set: keep one of them.",
        "OTHER_FILE cannot be read (FileNotFoundError).",
        "DEBUG must be true or false.",
        "PORT must be a whole number from 1 to 65535.",
        "PUBLIC_URL must look like https://console.example.com, without a path.",
        "DATABASE_URL must be postgresql://user:password@host:5432/name or sqlite:///path.",
    ]


def test_an_environment_without_faults_says_nothing() -> None:
    env = Env({})
    env.text("ANY")
    env.finish()


def test_the_settings_themselves_tell_all_faults_at_once(tmp_path: Path) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "STATE_DIR": str(tmp_path),
        "DEBUG": HIDDEN,
        "TOKENS_MAX_LIVE": "0",
    }
    ran = subprocess.run(
        [sys.executable, "-c", "import skytells_console.settings"],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert HIDDEN not in ran.stderr
    for fault in (
        "SECRET_KEY (or SECRET_KEY_FILE) is missing.",
        "TOKEN_PEPPERS (or TOKEN_PEPPERS_FILE) is missing.",
        "DEBUG must be true or false.",
        "TOKENS_MAX_LIVE must be a whole number from 1 to 100000.",
    ):
        assert f"  - {fault}" in ran.stderr


# --- Secrets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        ("value", "value"),
        ("value\n", "value"),
        ("value\r\n\n", "value"),
        (" value \n", " value "),
        ("1:a\n2:b\n", "1:a\n2:b"),
        ("wörd", "wörd"),
    ],
)
def test_a_secret_may_stand_in_a_file_without_its_last_line_break(
    tmp_path: Path, content: str, secret: str
) -> None:
    (tmp_path / "secret").write_bytes(content.encode())
    env = Env({"KEY_FILE": str(tmp_path / "secret")})
    assert env.secret("KEY") == secret
    assert env.optional_secret("KEY") == secret
    env.finish()


def test_a_secret_in_the_environment_is_taken_as_it_is() -> None:
    assert Env({"KEY": " a b\n"}).secret("KEY") == " a b\n"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "KEY_FILE names an empty file."),
        (b"\n", "KEY_FILE names an empty file."),
        (b"\xff\xfe" + HIDDEN.encode(), "KEY_FILE cannot be read (UnicodeDecodeError)."),
    ],
)
def test_a_file_without_a_secret_is_a_fault(tmp_path: Path, content: bytes, fault: str) -> None:
    (tmp_path / "secret").write_bytes(content)
    path = str(tmp_path / "secret")
    assert faults_of(lambda env: env.secret("KEY"), KEY_FILE=path) == [fault]
    assert faults_of(lambda env: env.optional_secret("KEY"), KEY_FILE=path) == [fault]


def test_a_folder_in_the_place_of_a_file_is_a_fault(tmp_path: Path) -> None:
    assert faults_of(lambda env: env.secret("KEY"), KEY_FILE=str(tmp_path)) == [
        "KEY_FILE cannot be read (IsADirectoryError)."
    ]


def test_an_optional_secret_may_be_absent_but_not_given_twice() -> None:
    assert Env({}).optional_secret("KEY") == ""
    assert Env({"KEY": "", "KEY_FILE": ""}).optional_secret("KEY") == ""
    assert faults_of(lambda env: env.optional_secret("KEY"), KEY=HIDDEN, KEY_FILE="/x") == [
        "KEY and KEY_FILE are both set: keep one of them."
    ]


# --- Texts, flags, numbers, lists ---------------------------------------------------------------


def test_a_text_is_stripped_and_an_empty_one_is_absent() -> None:
    assert Env({"A": "  x "}).text("A", "default") == "x"
    assert Env({"A": "   "}).text("A", "default") == "default"
    assert Env({}).text("A") == ""


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        *((word, True) for word in ("1", "true", "True", " YES ", "on")),
        *((word, False) for word in ("0", "false", "No", "off")),
    ],
)
def test_a_flag_has_a_few_words(value: str, flag: bool) -> None:
    assert Env({"A": value}).flag("A", default=not flag) is flag


@pytest.mark.parametrize("value", ["2", "y", "t", "enabled", "tru", "-1", "none"])
def test_another_word_is_a_fault_and_never_a_silent_no(value: str) -> None:
    assert faults_of(lambda env: env.flag("A", default=True), A=value) == [
        "A must be true or false."
    ]


def test_one_of_a_few_words_is_chosen_and_another_one_is_a_fault() -> None:
    assert Env({"A": " JSON "}).choice("A", "text", ("text", "json")) == "json"
    assert Env({}).choice("A", "text", ("text", "json")) == "text"
    assert faults_of(lambda env: env.choice("A", "text", ("text", "json")), A="jsn") == [
        "A must be one of: text, json."
    ]


@pytest.mark.parametrize(("value", "number"), [("1", 1), (" 9 ", 9), ("007", 7), ("", 5)])
def test_a_number_is_read(value: str, number: int) -> None:
    env = Env({"A": value})
    assert env.number("A", 5, low=1, high=9) == number
    env.finish()


@pytest.mark.parametrize(
    "value",
    [
        *("0", "10", "-1", "+1", "1.0", "1e3", "0x1", "1_0", "²", "\u0661", "one"),
        *("9" * 5000, "0000000000010", "00000000000199999"),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_no_number_of_the_range_is_a_fault(value: str) -> None:
    assert faults_of(lambda env: env.number("A", 5, low=1, high=9), A=value) == [
        "A must be a whole number from 1 to 9."
    ]


@pytest.mark.parametrize(
    ("value", "items"),
    [("", []), (" , ,", []), ("a", ["a"]), (" a, b ,,c ", ["a", "b", "c"])],
)
def test_a_list_is_split_at_commas(value: str, items: list[str]) -> None:
    assert Env({"A": value}).items("A") == items


# --- Addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("https://console.example.com", "https://console.example.com"),
        ("https://console.example.com/", "https://console.example.com"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://Console.Example.com", "https://Console.Example.com"),
        ("", "http://localhost"),
    ],
)
def test_a_base_url_loses_its_slash(value: str, url: str) -> None:
    env = Env({"A": value})
    assert env.base_url("A", "http://localhost") == url
    env.finish()


@pytest.mark.parametrize(
    "value",
    [
        "console.example.com",
        "//console.example.com",
        "ftp://console.example.com",
        "javascript:alert(1)",
        "https://",
        "https://:8000",
        "https://console.example.com/console",
        "https://console.example.com?next=1",
        "https://console.example.com#top",
        "https://console.example.com:port",
        "https://console.example.com:99999",
        f"https://alice:{HIDDEN}@console.example.com",
        f"https://[{HIDDEN}",
    ],
)
def test_what_is_no_base_url_is_a_fault(value: str) -> None:
    assert faults_of(lambda env: env.base_url("A", "http://localhost"), A=value) == [
        "A must look like https://console.example.com, without a path."
    ]


def test_without_an_address_the_embedded_database_is_used_and_takes_its_lock_at_once() -> None:
    database = Env({}).database("DATABASE_URL", EMBEDDED)
    assert database["ENGINE"] == "django.db.backends.sqlite3"
    assert database["NAME"] == EMBEDDED
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in database["OPTIONS"]["init_command"]


def test_an_sqlite_file_may_stand_anywhere() -> None:
    database = Env({"A": "sqlite:///srv/my%20data/c.sqlite3"}).database("A", EMBEDDED)
    assert database["NAME"] == Path("/srv/my data/c.sqlite3")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_every_part_of_a_postgresql_address_is_read(scheme: str) -> None:
    url = f"{scheme}://con%40sole:p%2Fw%23@db.example.com:6432/console?sslmode=require"
    database = Env({"A": url}).database("A", EMBEDDED)
    assert database["ENGINE"] == "django.db.backends.postgresql"
    parts = [database[part] for part in ("USER", "PASSWORD", "HOST", "PORT", "NAME")]
    assert parts == ["con@sole", "p/w#", "db.example.com", "6432", "console"]
    assert database["OPTIONS"] == {"sslmode": "require"}


def test_a_database_address_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgres:///console\n")
    database = Env({"A_FILE": str(tmp_path / "url")}).database("A", EMBEDDED)
    parts = [database[part] for part in ("USER", "PASSWORD", "HOST", "PORT", "NAME")]
    assert parts == ["", "", "", "", "console"]


def command_on_a_new_machine(state: Path) -> subprocess.CompletedProcess[str]:
    environ = {
        "PATH": os.environ["PATH"],
        "STATE_DIR": str(state),
        "SECRET_KEY": "k" * 64,
        "TOKEN_PEPPERS": "1:" + "p" * 64,
    }
    command = [sys.executable, "manage.py", "showmigrations", "sessions"]
    return subprocess.run(
        command, env=environ, cwd=ROOT, capture_output=True, text=True, check=False, umask=0o022
    )


def test_a_command_makes_the_state_folder_and_a_database_for_its_owner_alone(
    tmp_path: Path,
) -> None:
    ran = command_on_a_new_machine(tmp_path / "new" / "state")
    assert ran.returncode == 0, ran.stderr
    made = [tmp_path / "new", *(tmp_path / "new").rglob("*")]
    assert tmp_path / "new" / "state" / "console.sqlite3" in made
    assert all(path.stat().st_mode & 0o077 == 0 for path in made)


def test_a_state_folder_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = command_on_a_new_machine(tmp_path / "file" / "state")
    assert "  - STATE_DIR cannot be made (NotADirectoryError)." in ran.stderr


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({"SECRET_KEY": "k" * 49}, "SECRET_KEY must be at least 50 characters long."),
        ({"SECRET_KEY": "k" * 50}, ""),
        (
            {"DEBUG": "true"},
            "DEBUG shows the console's insides: switch it off where PUBLIC_URL is https.",
        ),
        ({"DEBUG": "true", "PUBLIC_URL": "http://127.0.0.1:8000"}, ""),
    ],
    ids=["49 characters", "50 characters", "debugging in public", "debugging at home"],
)
def test_what_makes_an_installation_unsafe_stops_the_start(
    tmp_path: Path, environ: dict[str, str], fault: str
) -> None:
    safe = {
        "PATH": os.environ["PATH"],
        "STATE_DIR": str(tmp_path),
        "SECRET_KEY": "k" * 64,
        "TOKEN_PEPPERS": "1:" + "p" * 64,
        "PUBLIC_URL": "https://console.example.com",
    }
    command = [sys.executable, "-c", "import skytells_console.settings"]
    ran = subprocess.run(
        command, env=safe | environ, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.returncode != 0) == bool(fault)
    assert fault in ran.stderr
    assert ran.stderr.count("  - ") == bool(fault)


@pytest.mark.parametrize(
    "value",
    [
        HIDDEN,
        f"mysql://root:{HIDDEN}@localhost/console",
        f"postgres://console:{HIDDEN}@localhost",
        f"postgres://console:{HIDDEN}@localhost/",
        f"postgres://console:{HIDDEN}@localhost:fivethousand/console",
        f"postgres://console:{HIDDEN}@localhost:99999/console",
        f"postgres://console:pass/{HIDDEN}@localhost/console",
        f"postgres://console:{HIDDEN}@[::1/console",
        f"postgres://console:{HIDDEN}\u2100@localhost/console",
        "sqlite://",
        "sqlite:///",
    ],
)
def test_what_is_no_database_is_a_fault_that_repeats_nothing(value: str) -> None:
    assert faults_of(lambda env: env.database("A", EMBEDDED), A=value) == [
        "A must be postgresql://user:password@host:5432/name or sqlite:///path."
    ]


def test_a_database_file_that_is_empty_never_falls_back_to_the_embedded_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "url").touch()
    assert faults_of(lambda env: env.database("A", EMBEDDED), A_FILE=str(tmp_path / "url")) == [
        "A_FILE names an empty file."
    ]
