"""Drives a headless Chromium by its DevTools protocol, over two pipes: https://chromedevtools.github.io/devtools-protocol/."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

from tests.waiting import PATIENCE, wait_for

PACKAGES = {"chromium": "chromium", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf": "fonts-dejavu-core"}
"""By program, or file: Debian's package with it. Without a font, headless Chromium draws no text."""

_ANSWER_SECONDS = 60 * PATIENCE
"""Our choice: the page of a trace of 10 000 spans answers within a few seconds."""

_OPTIONS = (
    "--headless=new",
    # Chromium's sandbox refuses to be root's; the pages are the test's own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    # It asks nothing of its own on the network.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "about:blank",
)


@dataclass
class Page:
    """A page of the browser, and what it has asked for and logged."""

    requested: list[str] = field(default_factory=list[str])
    """The URLs of all requests."""
    logged: list[str] = field(default_factory=list[str])
    """Errors and warnings on the console, and exceptions: refusals by the Content-Security-Policy are among them."""

    _to: int = -1
    _session: str = ""
    _number: int = 0
    _answers: Queue[dict[str, Any]] = field(default_factory=Queue[dict[str, Any]])

    def open(self, url: str) -> None:
        """Loads a page, and waits for its document."""
        self.call("Page.navigate", url=url)
        wait_for(f"{url} to load", lambda: self.value("document.readyState") == "complete", 30)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol and returns its result; fails the test on an error."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            try:
                answer = self._answers.get(timeout=_ANSWER_SECONDS)
            except Empty:
                pytest.fail(f"the browser does not answer {method} within {_ANSWER_SECONDS} s")
            if answer["id"] == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def value(self, expression: str) -> Any:
        """Returns the value of an expression of JavaScript in the page; a promise's once it has one."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def text(self) -> str:
        """Returns the text that a person sees; none while another page loads."""
        return self.value("document.body?.innerText ?? ''")

    def wait_for_text(self, text: str, seconds: float = 15) -> None:
        """Waits until the page shows a text."""
        wait_for(f"{text!r} on the page", lambda: text in self.text(), seconds)

    def click(self, element: str) -> None:
        """Clicks in the middle of an element as a mouse does, once it is there.

        Args:
            element: an expression of JavaScript.
        """
        script = f"""(() => {{ const found = {element}; if (!found) return null;
            found.scrollIntoView({{block: "center"}}); const box = found.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2]; }})()"""
        x, y = wait_for(element, lambda: self.value(script))
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Types a text into the element that has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Presses a key, such as Enter."""
        code = {"Enter": 13, "Escape": 27, "ArrowDown": 40}[key]
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def picture(self) -> bytes:
        """Returns a screenshot, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def begin(self, to: int, source: int, *, width: int, height: int) -> None:
        """Attaches to the browser's first page, through its pipes."""
        self._to = to
        threading.Thread(target=self._read, args=(source,), daemon=True).start()
        (target,) = [each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page"]
        self._session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def _read(self, source: int) -> None:
        """Reads messages until the browser ends; each ends with a zero byte."""
        rest = b""
        while chunk := os.read(source, 1 << 20):
            *messages, rest = (rest + chunk).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._answers.put(message)
                else:
                    self._note(message["method"], message["params"])

    def _note(self, method: str, event: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requested.append(event["request"]["url"])
        elif method == "Log.entryAdded" and event["entry"]["level"] in ("error", "warning"):
            self.logged.append(event["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.logged.append(str(event["exceptionDetails"].get("exception", {}).get("description")))
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning", "assert"):
            self.logged.append(" ".join(str(each.get("value", each.get("description"))) for each in event["args"]))


def program() -> str | None:
    """Returns the browser's program; None if this machine has none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextlib.contextmanager
def browser(chromium: str, profile: Path, *, width: int = 1280, height: int = 800) -> Generator[Page]:
    """Runs a browser with a new profile, and yields its page."""
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()

    # The browser reads from its file 3 and writes to its file 4. Debian's sh knows no numbers of two digits.
    command = [
        "bash",
        "-c",
        f'exec "$@" 3<&{to_read} 4>&{from_write}',
        "bash",
        chromium,
        *_OPTIONS,
        f"--user-data-dir={profile}",
    ]
    with (profile.parent / "chromium.log").open("w") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(to_read, from_write)
        )
    os.close(to_read)
    os.close(from_write)
    page = Page()
    try:
        page.begin(to_write, from_read, width=width, height=height)
        yield page
    finally:
        process.kill()
        process.wait()
        os.close(to_write)
