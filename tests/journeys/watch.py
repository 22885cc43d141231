"""Keeps an eye on a page: what it received, what it complained of, what the browser kept."""

from __future__ import annotations

import re

from playwright.sync_api import ConsoleMessage, Page, Response


def pieces(secret: str, length: int = 12) -> list[str]:
    """Return every stretch of ``length`` characters of a secret."""
    return [secret[start : start + length] for start in range(len(secret) - length + 1)]


class Watch:
    """Collects the bodies of all answers and every complaint of the browser's console."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        self._bodies: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("response", self._on_response)

    def _on_console(self, message: ConsoleMessage) -> None:
        # Chromium logs every 4xx answer by itself; an invalid form answers 422 on purpose.
        if message.type in {"error", "warning"} and "status of 422" not in message.text:
            self.faults.append(message.text)

    def _on_response(self, response: Response) -> None:
        kind = response.headers.get("content-type", "")
        if response.status != 204 and not 300 <= response.status < 400 and "text/html" in kind:
            self._bodies.append(self._read(response))

    @staticmethod
    def _read(response: Response) -> str:
        return response.body().decode("utf-8")

    def times_received(self, secret: str) -> int:
        """Count the secret in everything received, as plain text or cut up by markup."""
        return sum(_without_tags(body).count(secret) for body in self._bodies)

    def stored_pieces(self, secret: str) -> list[str]:
        """Return the pieces of the secret that the browser keeps in storage, cookies or the page."""
        kept = self.page.evaluate(
            "() => JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])"
        )
        kept += str(self.page.context.cookies()) + self.page.content()
        # The masked form shows the prefix and the first four digits; that is not a leak.
        return [piece for piece in pieces(secret[7:]) if piece in kept]


def _without_tags(body: str) -> str:
    return re.sub(r"<[^>]*>", "", body)
