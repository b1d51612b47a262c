"""GET /v2/jobs: order, pages, filters."""

from __future__ import annotations

import pytest


def ids(page):
    return [job["id"] for job in page["jobs"]]


def test_the_newest_job_comes_first(api, clock):
    made = []
    for _ in range(3):
        made.append(api.job_id())
        clock.advance(1)
    assert ids(api.jobs()) == made[::-1]


def test_jobs_of_the_same_moment_come_in_descending_order_of_id(api):
    made = [api.job_id() for _ in range(10)]
    assert ids(api.jobs()) == sorted(made, reverse=True)


def test_pages_show_every_job_once(api, clock):
    made = []
    for number in range(7):
        made.append(api.job_id())
        clock.advance(number % 2)
    seen, cursor, pages = [], None, 0
    while True:
        page = api.jobs(limit=3, **({"cursor": cursor} if cursor else {}))
        seen += ids(page)
        pages += 1
        assert page["hasMore"] == (page["nextCursor"] is not None)
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert (len(seen), set(seen), pages) == (7, set(made), 3)


def test_new_jobs_do_not_move_the_next_page(api, clock):
    made = []
    for _ in range(4):
        made.append(api.job_id())
        clock.advance(1)
    cursor = api.jobs(limit=2)["nextCursor"]
    api.job_id()
    assert ids(api.jobs(limit=2, cursor=cursor)) == made[1::-1]


def test_a_page_has_20_jobs_unless_asked_and_100_at_most(api):
    for _ in range(101):
        api.job_id()
    assert len(api.jobs()["jobs"]) == 20
    assert len(api.jobs(limit=100)["jobs"]) == 100
    assert api.get("/v2/jobs", params={"limit": 101}).status_code == 400


def test_jobs_can_be_asked_by_status_and_model(api, clock):
    failed = api.job_id("[fail: no]")
    done = api.job_id(model="flux-2-pro")
    clock.advance(10)
    queued = api.job_id()
    assert ids(api.jobs(status="FAILED")) == [failed]
    assert ids(api.jobs(status="COMPLETED")) == [done]
    assert ids(api.jobs(status="QUEUED")) == [queued]
    assert ids(api.jobs(model="flux-2-pro")) == [done]


def test_a_search_finds_the_job_with_that_id(api):
    wanted = api.job_id()
    api.job_id()
    assert ids(api.jobs(search=wanted.upper())) == [wanted]


def test_models_are_listed_on_demand(api):
    api.job_id(model="flux-2-pro")
    api.job_id()
    assert "models" not in api.jobs()
    assert api.jobs(include_models="true", limit=1)["models"] == ["flux-2-flex", "flux-2-pro"]


def test_the_list_tells_what_is_expired(serve, connect, clock):
    api = connect(serve(retention=60))
    api.job_id()
    clock.advance(69)
    assert api.jobs()["jobs"][0]["expired"] is False
    clock.advance(1)
    assert api.jobs()["jobs"][0]["expired"] is True


def test_jobs_can_be_left_out_of_the_list(sandbox, api):
    job_id = api.job_id()
    sandbox.configure(hide_from_list=True)
    assert api.jobs() == {"jobs": [], "nextCursor": None, "hasMore": False}
    assert api.job(job_id)["id"] == job_id
    sandbox.configure(hide_from_list=False)
    assert ids(api.jobs()) == [job_id]


def test_the_whole_team_is_for_the_owner_only(serve, connect):
    sandbox = serve(api_keys=["afk_ana"])
    owner, ana = connect(sandbox), connect(sandbox, "afk_ana")
    job_id = ana.job_id()
    assert ids(owner.jobs()) == []
    assert ids(owner.jobs(scope="team")) == [job_id]
    assert ana.get("/v2/jobs", params={"scope": "team"}).status_code == 403


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "DONE"),
        ("limit", "0"),
        ("limit", "many"),
        ("limit", "2.5"),
        ("cursor", "what?"),
        ("cursor", "bm90IGEgY3Vyc29y"),
        ("scope", "world"),
        ("search", "cats"),
        ("include_models", "yes"),
    ],
)
def test_a_wrong_filter_is_named(api, name, value):
    answer = api.get("/v2/jobs", params={name: value})
    assert answer.status_code == 400
    assert answer.json()["details"].keys() == {name}
