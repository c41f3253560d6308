"""That the suite notices what fails where nobody waits for it."""

import asyncio
import gc
import sys

import pytest

from api.commands.temporary_server import answering, free_port
from tests.complaints import Complaints, complaints_in

FAILS = """
import asyncio, sys
from logging.config import dictConfig
from api.http.logs import log_config
dictConfig(log_config("info", as_json=True))

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)

async def main():
    async with await asyncio.start_server(answer, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()

asyncio.run(main())
"""


async def test_in_this_process(complaints: Complaints) -> None:
    async def fail() -> None:
        raise ValueError("nobody hears of it")

    loop = asyncio.get_running_loop()
    loop.call_soon(lambda: 1 / 0)
    task = loop.create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
    callback, never_retrieved = sorted(complaints.take())
    assert callback.startswith("Exception in callback")
    assert never_retrieved.startswith("Task exception was never retrieved")


@pytest.mark.slow
async def test_in_a_process_that_is_started(request: pytest.FixtureRequest) -> None:
    from api.commands import temporary_server

    said: list[bytes] = []
    temporary_server.look_at_log[:], before = [said.append], list(temporary_server.look_at_log)
    port = free_port()
    async with answering(f"http://127.0.0.1:{port}/", (sys.executable, "-c", FAILS, str(port)), environment={}):
        pass
    temporary_server.look_at_log[:] = before
    [complaint] = complaints_in(said[0])
    assert "ZeroDivisionError" in complaint
