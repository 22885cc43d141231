"""The password hasher: Argon2id at the cost OWASP names as its minimum."""

from __future__ import annotations

from django.contrib.auth.hashers import Argon2PasswordHasher


class ConsoleArgon2PasswordHasher(Argon2PasswordHasher):
    """Argon2id with t=2, m=19456 KiB, p=1 (OWASP Password Storage Cheat Sheet).

    Django's default asks 100 MiB a check, so a handful of simultaneous sign-ins would take most of
    a small server's memory.
    """

    time_cost = 2
    memory_cost = 19_456
    parallelism = 1
