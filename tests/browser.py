"""A real browser for the tests, driven by its DevTools protocol with what the tests have anyway."""

import asyncio
import contextlib
import itertools
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect

from tests.clients import new_client

WAIT = 60  # seconds until a test gives up: a busy machine may take many to start a browser
PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = (
    "--headless",
    "--no-sandbox",  # the tests may run as root, and the only page that is opened is ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-port=0",
)


class Page:
    """A page that is open. `problems` are the errors on its console so far."""

    def __init__(self, connection: ClientConnection) -> None:
        self.problems: list[str] = []
        self._connection = connection
        self._ids = itertools.count(1)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a DevTools method."""
        call_id = next(self._ids)
        await self._connection.send(orjson.dumps({"id": call_id, "method": method, "params": params}).decode())
        while True:
            message = orjson.loads(await self._connection.recv())
            if message.get("id") == call_id:
                assert "error" not in message, message["error"]
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        match event:
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                self.problems.append(str(details.get("exception", {}).get("description", details["text"])))
            case {"method": "Runtime.consoleAPICalled", "params": {"type": "error", "args": given}}:
                self.problems.append(" ".join(str(each.get("value", each.get("description"))) for each in given))
            case {"method": "Log.entryAdded", "params": {"entry": {"level": "error", "text": text}}}:
                self.problems.append(text)

    async def evaluate(self, expression: str) -> Any:
        """What a JavaScript expression is, by value."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def wait_for(self, expression: str) -> Any:
        """What the expression is as soon as that is truthy. One that cannot be evaluated yet is not."""
        attempt = f"(() => {{ try {{ return {expression} }} catch {{ return null }} }})()"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT):
                while True:
                    if value := await self.evaluate(attempt):
                        return value
                    await asyncio.sleep(0.02)
        raise AssertionError(f"never true: {expression}\n{await self.evaluate('document.body.innerText')}")


@asynccontextmanager
async def opened(url: str, profile: Path) -> AsyncIterator[Page]:
    """A browser with this page and an empty profile. `PROGRAM` must not be None."""
    assert PROGRAM is not None
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *OPTIONS,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with connect(await _address(profile, process), max_size=None, compression=None) as connection:
            page = Page(connection)
            for domain in ("Runtime", "Log", "Page"):
                await page.call(f"{domain}.enable")
            await page.call("Page.navigate", url=url)
            yield page
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _address(profile: Path, process: asyncio.subprocess.Process) -> str:
    """Where the DevTools of the first page listen, once they do."""
    port_file = profile / "DevToolsActivePort"
    async with asyncio.timeout(WAIT), new_client() as client:
        while not (port_file.exists() and port_file.read_text(encoding="utf-8").count("\n")):
            assert process.returncode is None, "the browser did not start"
            await asyncio.sleep(0.02)
        port = port_file.read_text(encoding="utf-8").splitlines()[0]
        while True:
            targets = (await client.get(f"http://127.0.0.1:{port}/json/list")).json()
            pages = [target for target in targets if target["type"] == "page"]
            if pages:
                address: str = pages[0]["webSocketDebuggerUrl"]
                return address
            await asyncio.sleep(0.02)
