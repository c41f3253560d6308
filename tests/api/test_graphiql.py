"""GraphiQL: the page, its files, its example operations, and all of it in a browser where there is one."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from graphql import OperationDefinitionNode, build_schema, parse, validate
from graphql.execution.values import get_variable_values

from api.http.graphiql import Example, examples, render
from api.schema.root import schema
from api.settings import Settings
from tests import browser
from tests.clients import Server, live
from tests.missing import BROWSER

pytestmark = pytest.mark.wire

AS_A_BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
NAMES = [
    "Orders",
    "Timeline",
    "PlaceOrder",
    "ConfirmOrder",
    "DeliveryNote",
    "ShipOrder",
    "LiveStatus",
    "LiveEvents",
    "LiveCounts",
]
EXAMPLES = {example.name: example for example in examples()}
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@pytest.fixture
def graphiql() -> bool:
    return True


@pytest.fixture
def introspection() -> Any:
    return "tokens"


@pytest.fixture
def settings(database_url: str, graphiql: bool, introspection: Any) -> Settings:
    return Settings(database_url=database_url, poll_seconds=1.0, graphiql=graphiql, introspection=introspection)


def _embedded(html: str) -> Any:
    found = re.search(r'<script type="application/json" id="examples">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


# The page and its files


async def test_a_browser_is_given_the_page(server: Server) -> None:
    response = await server.http.get(server.url, headers=AS_A_BROWSER)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert {name: response.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert (response.headers["cache-control"], response.headers["vary"]) == ("no-cache", "Accept")
    tabs = _embedded(response.text)
    assert [tab["name"] for tab in tabs] == NAMES
    assert tabs[2] == {
        "name": "PlaceOrder",
        "query": EXAMPLES["PlaceOrder"].query,
        "variables": EXAMPLES["PlaceOrder"].variables,
    }


async def test_the_page_holds_no_script_of_its_own(server: Server) -> None:
    html = (await server.http.get(server.url, headers=AS_A_BROWSER)).text
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 7
    for attributes, content in scripts:
        assert ("src=" in attributes and not content) or 'type="application/json"' in attributes
    assert re.findall(r"\son\w+=|\sstyle=|<style", html.partition('<script type="application/json"')[0]) == []


async def test_every_file_of_the_page_is_served_from_here(server: Server) -> None:
    html = (await server.http.get(server.url, headers=AS_A_BROWSER)).text
    addresses = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(addresses) == 10
    for address in addresses:
        assert re.fullmatch(r"graphiql/[\w.-]+\?v=[0-9a-f]{16}", address)
        response = await server.http.get(server.url.replace("graphql", address))
        assert response.status_code == 200
        kind = response.headers["content-type"].partition(";")[0]
        expected = {"js": "javascript", "css": "text/css", "svg": "image/svg+xml"}
        assert expected[address.partition("?")[0].rpartition(".")[2]] in kind
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert {name: response.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


@pytest.mark.parametrize("version", ["", "?v=0123456789abcdef"])
async def test_a_file_of_another_version_is_asked_for_again(server: Server, version: str) -> None:
    address = server.url.replace("graphql", "graphiql/page.js") + version
    first = await server.http.get(address)
    assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache")
    again = await server.http.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["page.html", "../graphiql.py", "examples/1-Orders.graphql", "nothing.js", ""])
async def test_nothing_else_is_served(server: Server, path: str) -> None:
    response = await server.http.get(server.url.replace("graphql", "graphiql/") + path)
    assert response.status_code == 404


async def test_the_root_leads_to_the_page(server: Server) -> None:
    response = await server.http.get(server.url.removesuffix("graphql"), headers=AS_A_BROWSER)
    assert (response.status_code, response.headers["location"]) == (307, "graphql")


def test_an_example_cannot_end_the_script_element() -> None:
    evil = Example("Evil", '# </script><script>alert("$version")</script><!--\n{ viewer { name } }', None)
    html = render([evil], "0")
    assert html.count("</script>") == render([], "0").count("</script>")
    assert "<!--" not in html
    assert _embedded(html) == [{"name": "Evil", "query": evil.query, "variables": None}]


@pytest.mark.parametrize("graphiql", [False])
async def test_switched_off_it_is_not_there(server: Server) -> None:
    response = await server.http.get(server.url, headers=AS_A_BROWSER)
    assert (response.status_code, response.headers["content-type"]) == (400, "application/json; charset=utf-8")
    assert response.json()["errors"][0]["message"] == "A request needs a query, which is a string."
    assert (await server.http.get(server.url, headers={"Accept": "text/html"})).status_code == 406
    assert (await server.http.get(server.url.replace("graphql", "graphiql/page.js"))).status_code == 404


# The examples


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_valid(name: str) -> None:
    example = EXAMPLES[name]
    types = build_schema(schema.as_str())
    document = parse(example.query)
    assert validate(types, document) == []
    first = document.definitions[0]
    assert isinstance(first, OperationDefinitionNode)
    assert first.name is not None
    assert first.name.value == name
    values = get_variable_values(types, first.variable_definitions or (), json.loads(example.variables or "{}"))
    assert not isinstance(values, list), values


@pytest.mark.parametrize("name", NAMES)
def test_an_example_begins_with_what_it_shows(name: str) -> None:
    comment = EXAMPLES[name].query.partition("\n\n")[0].splitlines()
    assert len(comment) >= 3
    for line in comment:
        assert line.startswith("#")
        assert len(line) <= 56  # what an editor of half a common screen shows


async def _run(server: Server, name: str, operation: str = "", **variables: Any) -> Any:
    """The data of an example's operation, by default its first, with these of its variables replaced."""
    example = EXAMPLES[name]
    given = {**json.loads(example.variables or "{}"), **variables}
    request = {"query": example.query, "variables": given, "operationName": operation or name}
    headers = {"Authorization": f"Bearer {server.token}"}
    answer = (await server.http.post(server.url, json=request, headers=headers)).json()
    assert "errors" not in answer, answer
    return answer["data"]


@pytest.mark.slow
@pytest.mark.rendering
async def test_the_examples_take_an_order_through_its_life(server: Server) -> None:
    placed = (await _run(server, "PlaceOrder"))["placeOrder"]
    assert placed["userErrors"] == []
    assert placed["order"]["total"] == {"amount": "46.80", "currencyCode": "CHF"}

    pending = (await _run(server, "ConfirmOrder", "Pending", orderId="unused"))["orders"]["nodes"]
    assert [order["id"] for order in pending] == [placed["order"]["id"]]
    confirmed = (await _run(server, "ConfirmOrder", orderId=pending[0]["id"], expectedVersion=1))["confirmOrder"]
    assert (confirmed["userErrors"], confirmed["order"]["status"]) == ([], "CONFIRMED")

    ready = (await _run(server, "ShipOrder", "ReadyToShip", orderId="unused"))["orders"]["nodes"]
    assert [line["fulfillableQuantity"] for line in ready[0]["lines"]] == [2, 1]
    packing = (await _run(server, "DeliveryNote", "ToPack", orderId="unused"))["orders"]["nodes"]
    assert [(order["id"], order["deliveryNotes"]) for order in packing] == [(ready[0]["id"], [])]
    printed = (await _run(server, "DeliveryNote", orderId=ready[0]["id"]))["createDeliveryNote"]
    assert printed["userErrors"] == []
    response = await server.http.get(server.url.replace("/graphql", printed["deliveryNote"]["url"]))
    assert response.content.startswith(b"%PDF-")
    shipped = (await _run(server, "ShipOrder", orderId=ready[0]["id"]))["markShipped"]
    assert (shipped["userErrors"], shipped["order"]["status"]) == ([], "SHIPPED")
    assert [tracking["carrier"] for tracking in shipped["order"]["tracking"]] == ["Swiss Post"]

    (order,) = (await _run(server, "Orders"))["orders"]["nodes"]
    assert "ARCHIVE" in [action["action"] for action in order["availableActions"]]
    (timeline,) = (await _run(server, "Timeline"))["orders"]["nodes"]
    types = [event["type"] for event in timeline["events"]["nodes"]]
    assert (types[0], types[1], types[-1]) == ("ORDER_PLACED", "ORDER_CONFIRMED", "ORDER_SHIPPED")


@pytest.mark.parametrize(("name", "field"), [("LiveStatus", "orderStatusChanged"), ("LiveEvents", "orderEvents")])
async def test_the_live_examples_tell_of_a_change(server: Server, name: str, field: str) -> None:
    order, cursor = await _placed(server)
    await server.do("confirmOrder", {"orderId": order["id"]})
    async with live(server) as client:
        await client.subscribe(EXAMPLES[name].query, {"filter": None, "after": cursor})
        event = (await client.next())[field]
        assert (event["type"], event["order"]["number"]) == ("ORDER_CONFIRMED", order["number"])


async def test_the_live_counts_come_at_once(server: Server) -> None:
    await server.place()
    async with live(server) as client:
        await client.subscribe(EXAMPLES["LiveCounts"].query, json.loads(EXAMPLES["LiveCounts"].variables or ""))
        counts = (await client.next())["orderCountsChanged"]
        assert (counts["total"], counts["archived"]) == (1, 0)
        assert counts["byStatus"][0] == {"status": "PENDING", "count": 1}


async def _placed(server: Server) -> tuple[dict[str, Any], str]:
    """A new order, and the cursor of the event that says so."""
    order = await server.place(fields="id number events { nodes { cursor } }")
    return order, order["events"]["nodes"][-1]["cursor"]


# In a browser

in_a_browser = pytest.mark.skipif(browser.PROGRAM is None, reason=BROWSER)
ANSWER = "JSON.parse(document.querySelector('.result-window .CodeMirror').CodeMirror.getValue())"
CLICK_RUN = "document.querySelector('.graphiql-execute-button').click()"
STATUS = "document.getElementById('who').textContent"


async def _open_tab(page: browser.Page, name: str) -> None:
    tab = f"[...document.querySelectorAll('.graphiql-tab-button')].find((tab) => tab.textContent === '{name}')"
    await page.wait_for(f"{tab}.click() ?? true")
    # GraphiQL reads the operation from the editor a moment later, and would run the last tab's until then.
    await page.wait_for(
        f"document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror.operationName === '{name}'"
    )


@pytest.mark.slow
@in_a_browser
async def test_events_appear_in_the_browser_one_after_another(server: Server, tmp_path: Path) -> None:
    order, cursor = await _placed(server)
    await server.do("confirmOrder", {"orderId": order["id"]})
    async with browser.opened(f"{server.url}#token={server.token}", tmp_path / "profile") as page:
        assert await page.wait_for(f"document.querySelector('#who.good') && {STATUS}") == "everything · all channels"
        assert await page.evaluate("location.href") == server.url
        tabs = "[...document.querySelectorAll('.graphiql-tab-button')].map((tab) => tab.textContent)"
        assert await page.evaluate(tabs) == NAMES

        await _open_tab(page, "LiveStatus")
        variables = json.dumps(json.dumps({"after": cursor}))
        editor = "document.querySelector('.graphiql-editor-tool .CodeMirror').CodeMirror"
        await page.evaluate(f"{editor}.setValue({variables})")
        await page.evaluate(CLICK_RUN)
        await page.wait_for(f"{ANSWER}.received === 1")
        await server.do("cancelOrder", {"orderId": order["id"], "reason": "CUSTOMER"})
        answer = await page.wait_for(f"{ANSWER}.received === 2 && {ANSWER}")
        assert await page.evaluate("document.getElementById('live').textContent") == "Live: connected"

        stored = await page.evaluate("JSON.stringify(localStorage)")
        assert page.problems == []
    events = [event["data"]["orderStatusChanged"] for event in answer["newestFirst"]]
    assert [event["type"] for event in events] == ["ORDER_CANCELLED", "ORDER_CONFIRMED"]
    assert [event["order"]["number"] for event in events] == [order["number"]] * 2
    assert "LiveStatus" in stored
    assert server.token not in stored


async def _show_documentation(page: browser.Page, text: str) -> None:
    """Open the documentation, and again where GraphiQL was not ready for that, until it has this text."""
    show = "document.querySelector('[aria-label=\"Show Documentation Explorer\"]')"
    shown = f"document.querySelector('.graphiql-plugin')?.textContent.includes('{text}')"
    await page.wait_for(f"{shown} || ({show}?.click(), false)")


@pytest.mark.slow
@in_a_browser
async def test_the_documentation_comes_with_the_token(server: Server, tmp_path: Path) -> None:
    async with browser.opened(server.url, tmp_path / "profile") as page:
        needed = "No token yet: the documentation needs one, too. See scripts/token --help."
        await page.wait_for(f"{STATUS} === '{needed}'")
        await _show_documentation(page, "Error fetching schema")
        await page.evaluate(f"document.getElementById('token').value = '{server.token}'")
        await page.evaluate("document.getElementById('token-form').requestSubmit()")
        await page.wait_for("document.querySelector('#who.good') !== null")
        await _show_documentation(page, "Subscription")
        assert page.problems == []


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize("introspection", ["all"])
async def test_without_a_token_the_browser_shows_the_documentation_and_says_what_is_missing(
    server: Server, tmp_path: Path
) -> None:
    async with browser.opened(server.url, tmp_path / "profile") as page:
        assert (await page.wait_for(STATUS)).startswith("No token yet")
        await _show_documentation(page, "Subscription")

        await page.evaluate(CLICK_RUN)
        assert await page.wait_for(f"{ANSWER}.errors[0].extensions.code") == "UNAUTHENTICATED"
        assert await page.evaluate(STATUS) == "This needs a good token: give one here."
        await _open_tab(page, "LiveCounts")
        await page.evaluate(CLICK_RUN)
        message = "A subscription needs a token: give one in the bar above."
        await page.wait_for(f"{ANSWER}.errors[0].message === '{message}'")
        assert page.problems == []
