"""A headless browser, spoken to by chromedriver's own protocol, W3C WebDriver over HTTP."""

import base64
import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--disable-dev-shm-usage",
)  # fmt: skip
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def programs():
    """Where chromedriver and the browser are, or None."""
    driver = shutil.which("chromedriver")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return (driver, browser) if driver and browser else None


class Browser:
    """One window."""

    def __init__(self, url):
        self.base = url

    def ask(self, method, path, content=None):
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(
            f"{self.base}{path}", data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, path):
        self.ask("POST", "/url", {"url": pathlib.Path(path).resolve().as_uri()})

    def run(self, script, *given):
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(given)})

    def press(self, selector, keys):
        """Types into what a selector finds, as a person without a mouse does."""
        found = self.ask("POST", "/element", {"using": "css selector", "value": selector})
        self.ask("POST", f"/element/{found[ELEMENT]}/value", {"text": keys})

    def console(self):
        """What the browser has said since the last call."""
        return [entry["message"] for entry in self.ask("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path):
        pathlib.Path(path).write_bytes(base64.b64decode(self.ask("GET", "/screenshot")))


@contextlib.contextmanager
def started(width=1280, height=900, dark=False):
    """A browser of this size; narrow ones are phones."""
    driver, browser = programs()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True)
        try:
            port = next(
                found[1] for line in process.stdout if (found := re.search(r"successfully on port (\d+)", line))
            )
            scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
            options = {
                "binary": browser,
                "args": [*OPTIONS, scheme, f"--user-data-dir={folder}", f"--window-size={width},{height}"],
            }
            if width < 500:
                options["mobileEmulation"] = {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 2}}
            wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            root = Browser(f"http://127.0.0.1:{port}")
            session = root.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
            window = Browser(f"http://127.0.0.1:{port}/session/{session}")
            try:
                yield window
            finally:
                window.ask("DELETE", "")
        finally:
            process.terminate()
            process.wait(10)
            process.stdout.close()
            time.sleep(0.2)  # the browser's last files
