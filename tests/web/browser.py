"""Somebody who uses OMERO.web, without a browser."""

from __future__ import annotations

import re
import time
from typing import Any

import requests


class Browser:
    """Requests of one user, with cookies.

    Parameters
    ----------
    url : str
        Of OMERO.web.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between here and there
        self.get("/webclient/login/")

    def close(self) -> None:
        self._session.close()

    def get(self, path: str, **options: Any) -> requests.Response:
        return self._send("GET", path, **options)

    def post(self, path: str, data: Any = None, **options: Any) -> requests.Response:
        return self._send("POST", path, data=data, **options)

    def ajax(self, method: str, path: str, **options: Any) -> requests.Response:
        """A request as scripts of a page make it."""
        return self._send(method, path, headers={"X-Requested-With": "XMLHttpRequest"}, **options)

    def _send(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any):
        token = {"X-CSRFToken": self._session.cookies.get("csrftoken", ""), "Referer": self.url}
        return self._session.request(
            method, self.url + path, headers={**token, **(headers or {})}, allow_redirects=False, timeout=60, **options
        )

    def login(self, user: str, password: str) -> requests.Response:
        return self.post("/webclient/login/", {"username": user, "password": password, "server": 1})

    def activities(self) -> dict[str, Any]:
        return self.get("/webclient/activities_json/").json()

    def life(self) -> list[dict[str, Any]]:
        """Different answers about the activities, until none is in progress."""
        seen: list[dict[str, Any]] = []
        limit = time.monotonic() + 60
        while not seen or seen[-1]["inprogress"]:
            assert time.monotonic() < limit, f"this does not end: {seen[-1]}"
            answer = self.activities()
            if seen[-1:] != [answer]:
                seen.append(answer)
            time.sleep(0.05)
        return seen


def fields(html: str) -> list[str]:
    """Names of the fields of a form."""
    return re.findall(r"<(?:input|select|textarea)[^>]*\sname=[\"']([^\"']+)", html)
