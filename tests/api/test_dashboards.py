"""Dashboards over HTTP: made, changed by whoever has read them, given data, read; by those who may, in their tenant."""

from typing import Any

import httpx
import pytest

from tests.api.conftest import Site, problem
from tests.api.test_topics import back_end, user

AT = "/v1/dashboards/sales"
PUSH = "/v1/topics/dashboard:sales/publications"
WIDGETS: list[dict[str, Any]] = [
    {"type": "stat", "id": "visitors", "place": {"x": 0, "y": 0, "w": 3, "h": 2}},
    {"type": "series", "id": "orders", "lines": [{"name": "web"}], "window_s": 60},
]
DEFINITION = {"title": "Sales", "widgets": WIDGETS}


@pytest.fixture
async def http(site: Site) -> httpx.AsyncClient:
    """A back end, and a dashboard."""
    http = await back_end(site, "dashboards:*", "topics:*")
    assert (await http.put(AT, json=DEFINITION)).status_code == 200
    return http


async def test_a_dashboard_is_made_and_changed_by_whoever_has_read_it(
    http: httpx.AsyncClient,
) -> None:
    """Each change has a version and a tag; who comes with an old one is refused, and who reads again what has not changed gets 304."""
    read = await http.get(AT)
    body = read.json()
    assert (body["id"], body["version"], body["definition"]["title"]) == ("sales", 1, "Sales")
    assert (await http.get(AT, headers={"if-none-match": read.headers["etag"]})).status_code == 304
    condition = {"if-match": read.headers["etag"]}
    more = await http.put(AT, json={**DEFINITION, "title": "More"}, headers=condition)
    assert (more.json()["version"], more.headers["etag"] != read.headers["etag"]) == (2, True)
    problem(await http.put(AT, json=DEFINITION, headers=condition), 412, "stale")
    problem(await http.delete(AT, headers=condition), 412, "stale")
    problem(
        await http.put("/v1/dashboards/new", json=DEFINITION, headers={"if-match": "*"}),
        412,
        "stale",
    )
    page = (await http.get("/v1/dashboards", params={"limit": 1})).json()
    assert ([each["id"] for each in page["items"]], page["more"]) == (["sales"], False)
    deleted = await http.delete(AT, headers={"if-match": more.headers["etag"]})
    assert deleted.status_code == 204
    problem(await http.get(AT), 404, "not_found")
    problem(await http.delete(AT), 404, "not_found")


async def test_widgets_are_given_data_over_http(site: Site, http: httpx.AsyncClient) -> None:
    """One by one and in batches; the topic's state has what is shown, and the kept points are read in any resolution."""
    now_ms = site.clock.now_ms()
    published = await http.post(PUSH, json={"key": "visitors", "data": 42})
    assert (published.status_code, published.json()["class"]) == (200, "recoverable")
    points = {"t": [now_ms + n for n in range(100)], "v": [[n % 7 for n in range(100)]]}
    given = [
        {"topic": "dashboard:sales", "event": "append", "key": "orders", "data": points},
        {"topic": "dashboard:sales", "event": "increment", "key": "visitors", "data": "x"},
        {"topic": "dashboard:sales", "event": "increment", "key": "visitors"},
    ]
    results = (await http.post("/v1/publications", json={"publications": given})).json()["results"]
    assert [each.get("error", {}).get("code") for each in results] == [None, "invalid", None]
    items = (await http.get("/v1/topics/dashboard:sales")).json()["snapshot"]["items"]
    shown = {item["key"]: item["data"] for item in items}
    assert shown.keys() == {"definition", "orders", "visitors"}
    assert (shown["visitors"]["value"], set(shown["orders"])) == (43, {"t", "v", "step_ms", "at"})
    at = f"{AT}/widgets/orders/points"
    assert (await http.get(at)).json() == points
    assert len((await http.get(at, params={"points": 20})).json()["t"]) == 20
    assert len((await http.get(at, params={"resolution": "1m"})).json()["t"]) in {1, 2}
    problem(await http.get(at, params={"resolution": "1h"}), 422, "invalid")
    problem(await http.get(f"{AT}/widgets/visitors/points"), 404, "not_found")
    problem(await http.get("/v1/dashboards/none/widgets/x/points"), 404, "not_found")
    log = (await http.get(PUSH)).json()
    assert [item["event"] for item in log["items"]] == ["set", "set", "set", "append"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"widgets": [{"type": "pie", "id": "x"}]}, "/widgets/0/type"),
        ({"widgets": [{"type": "stat", "id": "x/y"}]}, "/widgets/0/id"),
        ({"widgets": [{"type": "stat", "id": "x", "colour": 1}]}, "/widgets/0/colour"),
        ({"widgets": [{"type": "series", "id": "x", "lines": []}]}, "/widgets/0/lines"),
        ({"widgets": [{"type": "series", "id": "x", "lines": [{"name": "a"}] * 17}]}, "/widgets/0/lines"),
        ({"widgets": [{"type": "series", "id": "x", "lines": [{"name": "a"}], "window_s": 1e9}]}, "/widgets/0/window_s"),
        ({"widgets": [WIDGETS[0], WIDGETS[0]]}, "/widgets/1/id"),
        ({"widgets": [{**WIDGETS[0], "place": {"x": 11, "y": 0, "w": 2, "h": 1}}]}, "/widgets/0/place"),
        ({"title": "x" * 201}, "/title"),
    ],
)  # fmt: skip
async def test_what_is_no_dashboard_is_refused_with_its_place(
    http: httpx.AsyncClient, change: dict[str, Any], pointer: str
) -> None:
    answer = problem(await http.put(AT, json={**DEFINITION, **change}), 422, "invalid")
    assert answer["errors"][0]["pointer"] == pointer
    assert (await http.get(AT)).json()["version"] == 1


async def test_a_user_reads_what_their_token_lets_them_watch(
    site: Site, http: httpx.AsyncClient
) -> None:
    """The dashboards that it names, in its tenant; nobody changes one without the scope."""
    mine = {"dashboard:sales": ["subscribe"]}
    ann, eve = user(site, topics=mine), user(site, topics={"dashboard:x": ["subscribe"]})
    stranger = user(site, tenant="elsewhere", topics=mine)
    assert (await ann.get(AT)).json()["definition"]["title"] == "Sales"
    assert (await ann.get(f"{AT}/widgets/orders/points")).json() == {"t": [], "v": []}
    for at in (AT, f"{AT}/widgets/orders/points"):
        problem(await eve.get(at), 403, "forbidden")
        problem(await stranger.get(at), 404, "not_found")
    problem(await ann.put(AT, json=DEFINITION), 403, "forbidden")
    problem(await ann.delete(AT), 403, "forbidden")
    problem(await ann.post(PUSH, json={"key": "visitors", "data": 1}), 403, "forbidden")
    problem(await ann.get("/v1/dashboards"), 403, "forbidden")


SECRETIVE = {
    "type": "gauge",
    "id": "load",
    "source": {"url": "https://metrics.example/load?token=s3cret", "every_s": 5},
    "alerts": [{"id": "hot", "above": 80, "trigger": {"title": "s3cret", "recipients": ["ann"]}}],
}


async def test_where_a_widget_is_fetched_and_who_is_told_is_not_for_viewers(site: Site) -> None:
    """Neither of the dashboard nor of its topic; alerts are defined by those alone who may send notifications."""
    weak = await back_end(site, "dashboards:*", "topics:*")
    problem(await weak.put(AT, json={"widgets": [SECRETIVE]}), 403, "forbidden")
    http = await back_end(site, "dashboards:*", "topics:*", "notifications:send")
    assert "s3cret" in (await http.put(AT, json={"widgets": [SECRETIVE]})).text
    assert "s3cret" in (await weak.get(AT)).text
    ann = user(site, topics={"dashboard:sales": ["subscribe"]})
    await http.post(PUSH, json={"key": "load", "data": 1})
    for who, at in ((ann, AT), (http, "/v1/topics/dashboard:sales"), (http, PUSH)):
        read = await who.get(at)
        assert read.status_code == 200
        assert "s3cret" not in read.text
    [widget] = (await ann.get(AT)).json()["definition"]["widgets"]
    assert widget["source"] == {"every_s": 5.0}
    assert widget["alerts"] == [{"id": "hot", "above": 80.0}]


async def test_what_is_enormous_is_refused_by_name(site: Site, http: httpx.AsyncClient) -> None:
    """Values of a megabyte, thousands of widgets, batches for a widget that is not there: bounded, and the dashboard stays as it is."""
    given = {"key": "visitors", "data": "x" * 1_000_000}
    problem(await http.post(PUSH, json=given), 413, "too_large")
    table = {"type": "table", "id": "rows", "columns": [{"id": "a"}]}
    assert (await http.put(AT, json={"widgets": [*WIDGETS, table]})).status_code == 200
    rows = {f"{n}": {"a": 1} for n in range(3_000)}
    answer = problem(await http.post(PUSH, json={"key": "rows", "data": rows}), 422, "invalid")
    assert answer["errors"][0] == {"pointer": "/data", "detail": "at most 500 members"}
    many = [{"type": "text", "id": f"t{n}"} for n in range(5_000)]
    answer = problem(await http.put(AT, json={"widgets": many}), 422, "invalid")
    assert "limits.dashboard_widgets" in answer["errors"][0]["detail"]
    alerts = [{"id": f"a{n}", "above": 1, "trigger": {"x": "y" * 10_000}} for n in range(8)]
    strong = await back_end(site, "dashboards:*", "notifications:send")
    site.triggers.is_asked = False
    body = {"widgets": [{"type": "gauge", "id": f"g{n}", "alerts": alerts} for n in range(4)]}
    problem(await strong.put(AT, json=body), 413, "too_large")
    times = [[0], [2**62], [-1], [site.clock.now_ms() / 1000]]
    for t in times:
        given = {"event": "append", "key": "orders", "data": {"t": t, "v": [[1]]}}
        answer = problem(await http.post(PUSH, json=given), 422, "invalid")
        assert answer["errors"][0]["pointer"] == "/data/t/0"
    batch = [{"topic": "dashboard:sales", "key": f"none{n}", "data": n} for n in range(1_000)]
    results = (await http.post("/v1/publications", json={"publications": batch})).json()["results"]
    assert {each["error"]["code"] for each in results} == {"not_found"}
    items = (await http.get("/v1/topics/dashboard:sales")).json()["snapshot"]["items"]
    assert [item["key"] for item in items] == ["definition"]


async def test_another_tenants_dashboard_is_another(site: Site, http: httpx.AsyncClient) -> None:
    """Of the same name: neither read nor given anything, and nobody hears that there is one."""
    await http.post(PUSH, json={"key": "visitors", "data": 42})
    stranger = user(site, tenant="elsewhere", scope="dashboards:* topics:*")
    problem(await stranger.get(AT), 404, "not_found")
    problem(await stranger.post(PUSH, json={"key": "visitors", "data": 1}), 404, "not_found")
    assert (await stranger.get("/v1/dashboards")).json()["items"] == []
    assert (await stranger.put(AT, json={"title": "Mine"})).status_code == 200
    problem(await stranger.post(PUSH, json={"key": "visitors", "data": 1}), 404, "not_found")
    assert (await http.get(AT)).json()["definition"]["title"] == "Sales"
