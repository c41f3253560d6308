"""The JavaScript libraries with which others build clients, and the audits that they publish."""

import asyncio
import json

import pytest

from tests import npm
from tests.clients import Server

pytestmark = pytest.mark.wire

AUDITS = 61  # of graphql-http, of which a failed one is `warn` or `error`


async def test_graphql_https_audits(server: Server) -> None:
    async with npm.running("audit.mjs", server.url) as process:
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    results = json.loads(output)
    assert [result for result in results if result["status"] != "ok"] == []
    assert len({result["id"] for result in results}) == AUDITS
