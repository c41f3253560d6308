"""The graphql-transport-ws protocol, message by message."""

import asyncio
import contextlib
from typing import Any

import orjson
import pytest
from tortoise import connections
from tortoise.transactions import in_transaction
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from api.http.websocket_connection import WebSocketConnection
from api.settings import Settings
from models import Order, OrderEvent
from models.enums import OrderStatus
from tests.clients import LONG_DOCUMENTS, WAIT, Live, Server, follow, key_of, live, open_socket, until

pytestmark = pytest.mark.wire

VIEWER = "{ viewer { name } }"
MOST = 5  # operations of a socket
LARGEST = 50_000  # bytes of a message


@pytest.fixture
def settings(database_url: str, request: pytest.FixtureRequest) -> Settings:
    """A test may have others by `with_settings`."""
    given = {"max_operations_per_socket": MOST, "max_message_bytes": LARGEST, **getattr(request, "param", {})}
    return Settings(database_url=database_url, **LONG_DOCUMENTS, **given)


def with_settings(**given: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("settings", [given], indirect=True, ids=[" ".join(given)])


def errors(operation_id: str, message: str, code: str = "BAD_USER_INPUT") -> dict[str, Any]:
    return {"id": operation_id, "type": "error", "payload": [{"message": message, "extensions": {"code": code}}]}


async def still_follows(server: Server, client: Live) -> None:
    """The subscription of `follow` gets what happens now."""
    await server.place()
    assert (await client.next())["orderEvents"]["type"] == "ORDER_PLACED"


class TestOpening:
    async def test_another_subprotocol(self, server: Server) -> None:
        async with connect(server.ws_url) as connection:
            assert await Live(connection).closed() == (4406, "Subprotocol not acceptable")
        async with live(server) as client:
            assert client.connection.subprotocol == "graphql-transport-ws"

    @with_settings(init_timeout_seconds=0.1)
    async def test_no_init_in_time(self, server: Server) -> None:
        async with open_socket(server) as client:
            await client.send({"type": "ping"})
            assert await client.receive() == {"type": "pong"}
            assert await client.closed() == (4408, "Connection initialisation timeout")
        async with live(server) as client:
            await follow(server, client)
            await asyncio.sleep(0.2)  # as long as would be too long without the init
            await still_follows(server, client)

    async def test_the_token_may_be_in_the_handshake(self, server: Server) -> None:
        headers = {"Authorization": f"Bearer {server.token}"}
        async with connect(server.ws_url, subprotocols=["graphql-transport-ws"], additional_headers=headers) as raw:  # type: ignore[list-item]
            client = Live(raw)
            await client.send({"type": "connection_init"})
            assert await client.receive() == {"type": "connection_ack"}
            await client.subscribe(VIEWER)
            assert await client.next() == {"viewer": {"name": "everything"}}

    @pytest.mark.parametrize(
        ("payload", "code", "reason"),
        [
            (None, 4403, "Forbidden: send a token as Authorization in the connection_init payload"),
            ({}, 4403, "Forbidden: send a token as Authorization in the connection_init payload"),
            ({"authorization": "Bearer ost_nothing"}, 4403, "Forbidden: the token is not valid"),
            ({"Authorization": ""}, 4403, "Forbidden: the token is not valid"),
            ({"Authorization": {"Bearer": 1}}, 4403, "Forbidden: the token is not valid"),
            ([], 4400, "The payload of a connection_init is an object"),
        ],
    )
    async def test_no_good_token(self, server: Server, payload: Any, code: int, reason: str) -> None:
        async with open_socket(server) as client:
            await client.send({"type": "connection_init", "payload": payload})
            assert await client.closed() == (code, reason)

    async def test_a_second_init(self, server: Server) -> None:
        init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {server.token}"}}
        async with live(server) as client, open_socket(server) as hasty:
            await client.send({"type": "connection_init"})
            assert await client.closed() == (4429, "Too many initialisation requests")
            await hasty.send(init)
            await hasty.send(init)
            assert await hasty.receive() == {"type": "connection_ack"}
            assert await hasty.closed() == (4429, "Too many initialisation requests")

    async def test_a_fault_before_the_ack(self, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        await connections.get("default").execute_script("ALTER TABLE api_tokens RENAME TO hidden")
        async with open_socket(server) as client:
            await client.send({"type": "connection_init", "payload": {"Authorization": f"Bearer {server.token}"}})
            assert await client.closed() == (4500, "Something went wrong on our side")
        assert "api_tokens" in caplog.text

    async def test_an_operation_before_the_ack(self, server: Server) -> None:
        async with open_socket(server) as client:
            for harmless in ({"type": "pong"}, {"type": "complete", "id": "1"}, {"type": "ping"}):
                await client.send(harmless)
            assert await client.receive() == {"type": "pong"}
            await client.subscribe(VIEWER)
            assert await client.closed() == (4401, "Unauthorized")


class TestOperations:
    async def test_a_query(self, server: Server) -> None:
        async with live(server) as client:
            await client.subscribe(VIEWER)
            assert await client.receive() == {
                "id": "1",
                "type": "next",
                "payload": {"data": {"viewer": {"name": "everything"}}},
            }
            assert await client.receive() == {"id": "1", "type": "complete"}

    async def test_a_mutation(self, server: Server) -> None:
        order = await server.place()
        mutation = "mutation ($id: ID!) { confirmOrder(input: { orderId: $id }) { order { status } } }"
        async with live(server) as client:
            await client.subscribe(mutation, {"id": order["id"]})
            assert await client.next() == {"confirmOrder": {"order": {"status": "CONFIRMED"}}}
            assert await client.receive() == {"id": "1", "type": "complete"}

    async def test_several_at_a_time(self, server: Server) -> None:
        async with live(server) as client:
            for operation_id in ("one", "two"):
                await client.subscribe("subscription { orderEvents { type } }", operation_id=operation_id)
            await until(lambda: server.service.subscriptions.count == 2)
            await server.place()
            await client.subscribe(VIEWER, operation_id="three")
            texts = [await client.connection.recv() for _ in range(4)]
        assert all(isinstance(text, str) for text in texts)
        answers = [orjson.loads(text) for text in texts]
        assert sorted((answer["id"], answer["type"]) for answer in answers) == [
            ("one", "next"),
            ("three", "complete"),
            ("three", "next"),
            ("two", "next"),
        ]

    async def test_one_answer_that_is_on_its_way(self, server: Server) -> None:
        """Until it comes, its id is in use as a subscription's is; a client that has completed it is not sent it."""
        order = await server.place()
        mutation = "mutation ($id: ID!) { confirmOrder(input: { orderId: $id }) { order { status } } }"
        async with live(server) as client:
            async with in_transaction():
                await Order.filter(id=key_of(order["id"])).update(note="nobody else changes it meanwhile")
                await client.subscribe(mutation, {"id": order["id"]})
                await client.send({"id": "1", "type": "complete"})
                await client.subscribe(mutation, {"id": order["id"]})
                await client.send({"id": "1", "type": "complete"})
                await client.subscribe("{ __typename }")
                assert await client.next() == {"__typename": "Query"}
                assert await client.receive() == {"id": "1", "type": "complete"}
            await client.subscribe(
                mutation, {"id": (await server.place())["id"]}
            )  # which waits for the two, if they run
            assert await client.next() == {"confirmOrder": {"order": {"status": "CONFIRMED"}}}
            assert await client.receive() == {"id": "1", "type": "complete"}
            async with in_transaction():
                await Order.filter(id=key_of(order["id"])).update(note=None)
                await client.subscribe(mutation, {"id": order["id"]})
                await client.subscribe("{ __typename }")
                assert await client.closed() == (4409, "Subscriber for 1 already exists")

    async def test_an_id_can_be_used_again_at_once(self, server: Server) -> None:
        async with live(server) as client:
            for _ in range(20):
                await client.subscribe(VIEWER)
                await client.next()
                assert await client.receive() == {"id": "1", "type": "complete"}
            for _ in range(20):
                await client.subscribe("subscription { orderEvents { type } }")
                await client.send({"id": "1", "type": "complete"})
            await follow(server, client)
            await still_follows(server, client)
        await until(lambda: server.service.feed.subscriber_count == 0)

    async def test_a_completed_subscription_says_nothing_more(self, server: Server) -> None:
        async with live(server) as client:
            await follow(server, client)
            await client.send({"id": "1", "type": "complete"})
            await client.send({"id": "nobody", "type": "complete"})
            await until(lambda: server.service.feed.subscriber_count == 0)
            await server.place()
            await client.subscribe(VIEWER, operation_id="2")
            await client.next("2")

    async def test_an_id_that_is_in_use(self, server: Server) -> None:
        long = "🏃" * 60
        async with live(server) as client:
            await follow(server, client, long)
            await client.subscribe(VIEWER, operation_id=long)
            code, reason = await client.closed()
        assert code == 4409
        assert reason == "Subscriber for " + "🏃" * 27  # as much as a close frame holds
        await until(lambda: server.service.feed.subscriber_count == 0)

    async def test_no_more_operations_than_the_settings_say(self, server: Server) -> None:
        async with live(server) as client:
            for number in range(MOST):
                await client.subscribe("subscription { orderEvents { type } }", operation_id=str(number))
            await client.subscribe(VIEWER, operation_id="more")
            limited = errors("more", f"A socket runs at most {MOST} operations at a time.", "RATE_LIMITED")
            assert await client.receive() == limited
            await client.send({"id": "0", "type": "complete"})
            await client.subscribe(VIEWER, operation_id="more")
            await client.next("more")

    @pytest.mark.parametrize(
        ("payload", "message"),
        [
            ({"query": "{"}, "Syntax Error"),
            ({"query": "{ nothing }"}, "Cannot query field 'nothing'"),
            ({"query": "query A { __typename } query B { __typename }"}, "The document has several operations"),
            ({"query": "query A { __typename }", "operationName": "B"}, "The document has no operation 'B'."),
            ({"query": "subscription ($after: String!) { orderEvents(after: $after) { type } }"}, "'$after'"),
            ({"query": 'subscription { orderEvents(after: "x") { type } }'}, "This is not a cursor of this list."),
            ({"query": 'subscription { orderEvents(filter: { orderIds: ["x"] }) { type } }'}, "This is not an id"),
        ],
    )
    async def test_a_refused_operation_leaves_the_others_alone(
        self, server: Server, payload: dict[str, Any], message: str
    ) -> None:
        async with live(server) as client:
            await follow(server, client)
            await client.send({"id": "2", "type": "subscribe", "payload": payload})
            answer = await client.receive()
            assert (answer["id"], answer["type"]) == ("2", "error")
            [error] = answer["payload"]
            assert message in error["message"]
            assert error["extensions"]["code"] == "BAD_USER_INPUT"
            await client.subscribe(VIEWER, operation_id="2")
            await client.next("2")
            assert await client.receive() == {"id": "2", "type": "complete"}
            await still_follows(server, client)

    async def test_a_fault_is_masked(self, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        async with live(server) as client:
            await connections.get("default").execute_script("ALTER TABLE channels RENAME TO hidden")
            await client.subscribe('subscription { orderEvents(filter: { channels: ["web"] }) { type } }')
            answer = await client.receive()
            assert (answer["id"], answer["type"]) == ("1", "error")
            [error] = answer["payload"]
            assert error["extensions"]["code"] == "INTERNAL"
            assert "hidden" not in str(answer)
            assert "channels" not in error["message"]
            [record] = caplog.records
            assert error["extensions"]["id"] in record.getMessage()
            await client.subscribe("{ __typename }")
            assert await client.next() == {"__typename": "Query"}

    async def test_what_is_broken_off_is_done_or_not_done(self, server: Server) -> None:
        """Whenever the client goes, its mutation has either happened or not, and the database is not held by it."""
        orders = [await server.place() for _ in range(30)]
        mutation = "mutation ($id: ID!) { confirmOrder(input: { orderId: $id }) { order { status } } }"
        for number, order in enumerate(orders):
            async with live(server) as client:
                await client.subscribe(mutation, {"id": order["id"]})
                for _ in range(number % 10):
                    await asyncio.sleep(0)
                if number % 2:
                    await client.send({"id": "1", "type": "complete"})
        assert (await server.do("cancelOrder", {"orderId": (await server.place())["id"], "reason": "STAFF"}))[
            "status"
        ] == "CANCELLED"
        for order in orders:
            row = await Order.get(id=key_of(order["id"]))
            events = await OrderEvent.filter(order_id=row.id).count()
            assert (row.status, row.version, events) in (
                (OrderStatus.PENDING, 1, 1),
                (OrderStatus.CONFIRMED, 2, 2),
            )


# What makes no sense, and what is answered to it while something runs.
BROKEN: dict[str, tuple[str | bytes, dict[str, Any] | None]] = {
    "a list": ("[]", None),
    "a string": ('"x"', None),
    "a longer string": ('"Message is not valid JSON"', None),
    "null": ("null", None),
    "a number": ("1", None),
    "binary": (b'{"type": "ping"}', None),
    "no UTF-8 in binary": (b"\xff\x00", None),
    "no JSON": ("{", None),
    "nothing": ("", None),
    "half a surrogate pair": ('{"type": "ping", "payload": {"a": "\\ud800"}}', None),
    "very deep": ('{"type": "ping", "payload": ' + '{"a":' * 2_000 + "1" + "}" * 2_001, None),
    "deeper than can be given back": ('{"type": "ping", "payload": ' + '{"a":' * 500 + "1" + "}" * 501, None),
    "a ping with a list": ('{"type": "ping", "payload": []}', None),
    "a pong with a string": ('{"type": "pong", "payload": "x"}', None),
    "no type": ("{}", None),
    "another kind of type": ('{"type": ["ping"]}', None),
    "an unknown type": ('{"type": "start", "id": "2"}', None),
    "a server's type": ('{"type": "next", "id": "2"}', None),
    "complete without an id": ('{"type": "complete"}', None),
    "complete with another kind of id": ('{"type": "complete", "id": {}}', None),
    "no id": ('{"type": "subscribe", "payload": {"query": "{ __typename }"}}', None),
    "an empty id": ('{"type": "subscribe", "id": "", "payload": {"query": "{ __typename }"}}', None),
    "a number as id": ('{"type": "subscribe", "id": 2, "payload": {"query": "{ __typename }"}}', None),
    "no payload": ('{"type": "subscribe", "id": "2"}', errors("2", "A request is a JSON object.")),
    "a list as payload": (
        '{"type": "subscribe", "id": "2", "payload": []}',
        errors("2", "A request is a JSON object."),
    ),
    "no query": (
        '{"type": "subscribe", "id": "2", "payload": {}}',
        errors("2", "A request needs a query, which is a string."),
    ),
    "a number as query": (
        '{"type": "subscribe", "id": "2", "payload": {"query": 1}}',
        errors("2", "A request needs a query, which is a string."),
    ),
    "a string as variables": (
        '{"type": "subscribe", "id": "2", "payload": {"query": "{ __typename }", "variables": "x"}}',
        errors("2", "variables is an object."),
    ),
}


class TestBrokenMessages:
    async def test_close_an_idle_socket(self, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        for case, (message, _) in BROKEN.items():
            async with live(server) as client, open_socket(server) as early:
                await client.connection.send(message)
                code, reason = await client.closed()
                assert code == 4400, case
                assert reason, case
                await early.connection.send(message)
                assert (await early.closed())[0] == (4401 if '"subscribe"' in str(message) else 4400), case
        assert caplog.records == []

    async def test_leave_a_subscription_alone(self, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        async with live(server) as client, live(server) as other:
            await follow(server, other)
            await follow(server, client)
            await other.next()
            await other.next()
            for case, (message, answer) in BROKEN.items():
                await client.connection.send(message)
                if answer is not None:
                    assert await client.receive() == answer, case
                await client.send({"type": "ping"})
                assert await client.receive() == {"type": "pong"}, case
                await still_follows(server, client)
                assert (await other.next())["orderEvents"]["type"] == "ORDER_PLACED"
        assert [record for record in caplog.records if record.levelname != "INFO"] == []

    async def test_a_message_that_is_too_large(self, server: Server) -> None:
        padding = LARGEST - len(orjson.dumps({"type": "ping", "payload": {"": ""}}))
        async with live(server) as client, live(server) as other:
            await follow(server, other)
            fitting = {"type": "ping", "payload": {"": "x" * padding}}
            await client.send(fitting)
            assert await client.receive() == {**fitting, "type": "pong"}
            await client.send({"type": "ping", "payload": {"": "x" * (padding + 1)}})
            assert (await client.closed())[0] == 1009
            await still_follows(server, other)


class TestPings:
    @pytest.mark.parametrize("payload", [{}, {"payload": {"a": [1, None, "ü"]}}, {"payload": None}])
    async def test_the_servers_pong_has_the_pings_payload(self, server: Server, payload: dict[str, Any]) -> None:
        async with live(server) as client:
            await client.send({"type": "ping", **payload})
            assert await client.receive() == {"type": "pong", **payload}
            await client.send({"type": "pong", **payload})
            await client.subscribe(VIEWER)
            await client.next()

    @with_settings(ping_seconds=0.2)
    async def test_who_answers_pings_stays_and_who_does_not_is_cut_off(self, server: Server) -> None:
        async with live(server) as quiet, live(server) as client:
            await follow(server, quiet)
            for _ in range(4):
                assert orjson.loads(await client.connection.recv()) == {"type": "ping"}
                await client.send({"type": "pong"})
            assert await quiet.closed() == (4408, "No answer to a ping: resume with after")
            await until(lambda: server.service.feed.subscriber_count == 0)
            await client.subscribe(VIEWER)
            await client.next()


class TestAStalledClient:
    """One that does not read, while more comes for it than all buffers on the way hold."""

    ALIASES = " ".join(f"a{number}: message" for number in range(2_000))  # some 100 kB for each event

    async def stall_until_cut_off(self, server: Server, stalled: Live, other: Live) -> None:
        """Each event reaches the other client, whatever becomes of the stalled one."""
        await follow(server, other)
        await stalled.subscribe(f"subscription {{ orderEvents {{ {self.ALIASES} }} }}")
        await until(lambda: server.service.feed.subscriber_count == 2)
        stalled.connection.transport.pause_reading()
        for _ in range(500):
            await still_follows(server, other)
            if server.service.feed.subscriber_count == 1:
                return
        raise AssertionError("the client was not cut off")

    @with_settings(stall_seconds=0.3)
    async def test_is_told_so(self, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        async with live(server) as stalled, live(server) as other:
            await self.stall_until_cut_off(server, stalled, other)
            await until(lambda: len(server.running.server_state.tasks) == 1)  # it waits for nothing from the client
            stalled.connection.transport.resume_reading()
            with contextlib.suppress(ConnectionClosed):
                async with asyncio.timeout(WAIT):
                    async for _ in stalled.connection:
                        pass
            assert await stalled.closed() == (4408, "Too slow: resume with after")
            await still_follows(server, other)
        assert caplog.records == []

    @with_settings(stall_seconds=0.1)
    async def test_does_not_hold_its_connection(self, server: Server) -> None:
        async with live(server) as stalled, live(server) as other:
            await self.stall_until_cut_off(server, stalled, other)
            connections = server.running.server_state.connections
            await until(lambda: sum(isinstance(each, WebSocketConnection) for each in connections) == 1)
            await still_follows(server, other)
            stalled.connection.transport.abort()
