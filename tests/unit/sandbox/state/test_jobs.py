"""The life of a job: status, credits, idempotency, result."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_apiframe.sandbox.state.models import MODELS
from airflow_provider_apiframe.sandbox.web.schemas.requests import KINDS

DAY = 24 * 3600
# Models that take a prompt alone.
NEED_NOTHING = KINDS["generate"].bodies.keys() - {"flux-lora", "ideogram-character"}


def test_an_accepted_job_is_queued(api):
    answer = api.generate()
    assert answer.status_code == 202
    assert answer.json() == {"jobId": answer.json()["jobId"], "status": "QUEUED"}


def test_a_job_goes_from_queued_over_processing_to_completed(api, clock):
    job_id = api.job_id()
    seen = []
    for _ in range(11):
        job = api.job(job_id)
        seen.append((job["status"], job["progress"]))
        clock.advance(1)
    statuses = [status for status, _ in seen]
    assert statuses == ["QUEUED"] * 2 + ["PROCESSING"] * 8 + ["COMPLETED"]
    progress = [percent for _, percent in seen]
    assert progress == sorted(progress)
    assert progress[0] == 0
    assert 0 < progress[5] < 100
    assert progress[-1] == 100


def test_a_job_tells_when_it_was_made_and_finished_in_milliseconds(api, clock):
    clock.now = 1_800_000_000.25
    job_id = api.job_id()
    assert api.job(job_id)["createdAt"] == "2027-01-15T08:00:00.250Z"
    assert api.job(job_id)["completedAt"] is None
    clock.advance(60)
    assert api.job(job_id)["completedAt"] == "2027-01-15T08:00:10.250Z"


def test_a_job_echoes_its_input_and_the_list_does_not(api):
    job_id = api.job_id("a cat", fluxParams={"steps": 7})
    assert api.job(job_id)["input"] == {
        "prompt": "a cat",
        "model": "flux-2-flex",
        "fluxParams": {"steps": 7},
    }
    assert "input" not in api.jobs()["jobs"][0]


def test_a_prompt_with_half_a_surrogate_pair_is_echoed(api):
    body = b'{"model": "flux-2-flex", "prompt": "half \\ud83d"}'
    job_id = api.post(
        "/v2/images/generate", content=body, headers={"Content-Type": "application/json"}
    ).json()["jobId"]
    assert '"prompt":"half \\ud83d"' in api.get(f"/v2/jobs/{job_id}").text


def test_the_result_links_to_another_name_of_the_host_that_was_asked(sandbox, api, clock):
    job_id = api.job_id(fluxParams={"output_format": "webp"})
    assert api.job(job_id)["result"] is None
    clock.advance(10)
    assert api.job(job_id)["result"] == {"images": [f"{sandbox.cdn_url}/images/{job_id}-1.webp"]}
    other = api.get(f"/v2/jobs/{job_id}", headers={"Host": "localhost:81"}).json()
    assert other["result"] == {"images": [f"http://127.0.0.1:81/images/{job_id}-1.webp"]}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("url", "URL"),
        ("list", ["URL"]),
        ("single", {"imageUrl": "URL"}),
        ("none", {}),
    ],
)
def test_the_result_can_take_other_forms(serve, connect, clock, form, expected):
    sandbox = serve(result_form=form)
    api = connect(sandbox)
    job_id = api.job_id()
    clock.advance(10)
    text = str(api.job(job_id)["result"]).replace(f"{sandbox.cdn_url}/images/{job_id}-1.png", "URL")
    assert text == str(expected)


def test_the_result_can_come_later_than_the_end(serve, connect, clock):
    api = connect(serve(result_delay=3))
    job_id = api.job_id()
    clock.advance(10)
    for job in (api.job(job_id), api.jobs()["jobs"][0]):
        assert (job["status"], job["result"]) == ("COMPLETED", None)
    clock.advance(3)
    for job in (api.job(job_id), api.jobs()["jobs"][0]):
        assert job["result"]["images"]


def test_the_cost_can_be_withheld(serve, connect):
    api = connect(serve(cost_null=True))
    assert api.job(api.job_id())["creditCost"] is None


def test_the_progress_can_be_withheld(serve, connect, clock):
    api = connect(serve(progress_null=True))
    job_id = api.job_id()
    clock.advance(5)
    assert (api.job(job_id)["status"], api.job(job_id)["progress"]) == ("PROCESSING", None)


def test_a_job_is_charged_when_it_is_accepted(sandbox, api):
    job_id = api.job_id()
    cost = api.job(job_id)["creditCost"]
    assert cost > 0
    assert api.get("/v2/me").json()["team"]["credits"] == 5000 - cost
    assert (sandbox.state.credits_spent, sandbox.state.jobs_paid) == (cost, 1)


def test_a_failed_job_is_refunded_once(sandbox, api, clock):
    job_id = api.job_id("a cat [fail: the cat ran away]")
    assert sandbox.state.credits < 5000
    clock.advance(10)
    for _ in range(3):
        job = api.job(job_id)
        assert (job["status"], job["error"], job["creditCost"]) == ("FAILED", "the cat ran away", 0)
        assert (job["result"], job["progress"]) == (None, None)
        assert sandbox.state.credits == 5000
    assert (sandbox.state.refunds, sandbox.state.jobs_paid, sandbox.state.credits_spent) == (
        1,
        0,
        0,
    )


def test_a_refund_needs_nobody_to_read_the_job(sandbox, api, clock):
    api.job_id("[fail: no]")
    clock.advance(10)
    assert api.get("/v2/me").json()["team"]["credits"] == 5000


def test_a_prompt_can_ask_to_be_cancelled_to_hang_or_to_take_long(api, clock):
    cancelled, stuck, slow = (
        api.job_id(f"a cat {directive}") for directive in ("[cancel]", "[stuck]", "[takes: 100]")
    )
    clock.advance(99)
    assert api.job(cancelled)["status"] == "CANCELLED"
    assert api.job(cancelled)["creditCost"] == 0
    assert api.job(slow)["status"] == "PROCESSING"
    clock.advance(1)
    assert api.job(slow)["status"] == "COMPLETED"
    clock.advance(10 * DAY)
    assert api.job(stuck)["status"] == "PROCESSING"


def test_an_aspect_ratio_with_a_side_of_nothing_fails_after_acceptance(api, clock):
    job_id = api.job_id(fluxParams={"aspect_ratio": "0:5"})
    clock.advance(10)
    assert api.job(job_id)["status"] == "FAILED"
    assert "0:5" in api.job(job_id)["error"]


def test_a_repeat_with_the_same_key_charges_once(sandbox, api):
    first, second = api.generate(key="k1"), api.generate(key="k1")
    assert first.json() == second.json()
    assert (first.status_code, second.status_code) == (202, 202)
    assert (sandbox.state.jobs_created, sandbox.state.jobs_paid, sandbox.state.replays) == (1, 1, 1)


def test_a_repeat_tells_the_present_status(api, clock):
    api.generate("[fail: no]", key="k1")
    clock.advance(5)
    assert api.generate("[fail: no]", key="k1").json()["status"] == "PROCESSING"
    clock.advance(5)
    assert api.generate("[fail: no]", key="k1").json()["status"] == "FAILED"


def test_a_repeat_can_tell_the_status_of_the_first_time(serve, connect, clock):
    api = connect(serve(replay_status="original"))
    first = api.generate("[fail: no]", key="k1").json()
    clock.advance(10)
    assert api.generate("[fail: no]", key="k1").json() == first
    assert api.job(first["jobId"])["status"] == "FAILED"


def test_repeats_at_the_same_time_make_one_job(sandbox, api):
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: api.generate(key="k1").json()["jobId"], range(40)))
    assert len(set(answers)) == 1
    assert (sandbox.state.jobs_created, sandbox.state.replays) == (1, 39)


def test_the_same_key_with_another_body_is_a_conflict(sandbox, api):
    api.generate("one", key="k1")
    answer = api.generate("two", key="k1")
    assert answer.status_code == 409
    assert "Idempotency-Key" in answer.json()["error"]
    assert sandbox.state.jobs_created == 1


def test_the_order_of_keys_in_a_body_does_not_matter_for_a_repeat(sandbox, api):
    api.generate(key="k1", fluxParams={"steps": 3, "seed": 1})
    assert api.generate(key="k1", fluxParams={"seed": 1, "steps": 3}).status_code == 202
    assert sandbox.state.replays == 1


def test_numbers_are_those_of_javascript(sandbox, api):
    first, second = (api.generate(key="k1", fluxParams={"steps": steps}) for steps in (30, 30.0))
    assert first.json() == second.json()
    assert '"steps":30}' in api.get(f"/v2/jobs/{first.json()['jobId']}").text


def test_a_key_is_forgotten_after_a_day(sandbox, api, clock):
    first = api.generate(key="k1").json()["jobId"]
    clock.advance(DAY - 1)
    assert api.generate(key="k1").json()["jobId"] == first
    clock.advance(1)
    assert api.generate(key="k1").json()["jobId"] != first


def test_a_key_belongs_to_its_user(serve, connect):
    sandbox = serve(api_keys=["afk_other"])
    ids = {
        connect(sandbox, key).generate(key="k1").json()["jobId"]
        for key in ("afk_sandbox", "afk_other")
    }
    assert len(ids) == 2


def test_a_key_may_have_255_characters_and_no_more(api):
    assert api.generate(key="k" * 255).status_code == 202
    answer = api.generate(key="k" * 256)
    assert answer.status_code == 400
    assert "255" in answer.json()["error"]


def test_without_enough_credits_nothing_is_made(serve, connect):
    sandbox = serve(credits=11)
    answer = connect(sandbox).generate(key="k1")
    assert answer.status_code == 402
    assert answer.json() == {
        "error": "Insufficient credits",
        "creditsRequired": 12,
        "creditsAvailable": 11,
    }
    sandbox.configure(credits=12)
    assert connect(sandbox).generate(key="k1").status_code == 202
    assert (sandbox.state.credits, sandbox.state.jobs_created) == (0, 1)


def test_many_at_once_never_overdraw_the_balance(serve, connect):
    sandbox = serve(credits=60)
    api = connect(sandbox)
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: api.generate().status_code, range(20)))
    assert sorted(statuses) == [202] * 5 + [402] * 15
    assert sandbox.state.credits == 0


def test_a_repeat_needs_no_credits(serve, connect):
    api = connect(serve(credits=12))
    first = api.generate(key="k1").json()
    assert api.generate(key="k1").json() == first


@pytest.mark.parametrize(
    ("job_id", "status"), [("42", 400), ("6f2c1e0a-3b4d-4c5e-8f60-718293a4b5c6", 404)]
)
def test_a_job_id_must_be_a_uuid_of_a_known_job(api, job_id, status):
    answer = api.get(f"/v2/jobs/{job_id}")
    assert answer.status_code == status
    assert isinstance(answer.json()["error"], str)


def test_jobs_belong_to_the_user_and_credits_to_the_team(serve, connect):
    sandbox = serve(api_keys=["afk_ana=ana", "afk_ana2=ana"])
    owner, ana, ana2 = (connect(sandbox, key) for key in ("afk_sandbox", "afk_ana", "afk_ana2"))
    job_id = ana.job_id()
    assert owner.get(f"/v2/jobs/{job_id}").status_code == 404
    assert ana2.job(job_id)["id"] == job_id
    assert (
        owner.get("/v2/me").json()["team"]["credits"]
        == ana.get("/v2/me").json()["team"]["credits"]
        == 4988
    )


def test_me_tells_user_team_and_key(api):
    me = api.get("/v2/me").json()
    assert me["user"]["role"] == "OWNER"
    assert me["team"]["plan"] == "sandbox"
    assert "afk_sandbox".startswith(me["apiKey"]["prefix"])
    assert me["apiKey"]["prefix"] != "afk_sandbox"


def test_the_catalog_needs_no_key_and_names_the_price_that_is_charged(sandbox, api, connect):
    models = connect(sandbox, key=None).get("/v2/models").json()["models"]
    assert [model["id"] for model in models] == list(MODELS)
    prices = {model["id"]: (model["costMin"], model["costMax"]) for model in models}
    for model in sorted(prices.keys() & NEED_NOTHING):
        cost = api.job(api.job_id(model=model))["creditCost"]
        assert prices[model][0] <= cost == prices[model][1]


def test_the_catalog_can_be_asked_by_modality(api):
    catalog = api.get("/v2/models", params={"modality": "image"}).json()["models"]
    assert len(catalog) == len(MODELS)
    assert api.get("/v2/models", params={"modality": "music"}).json() == {"models": []}
    assert api.get("/v2/models", params={"modality": "smell"}).json()["details"].keys() == {
        "modality"
    }


def test_a_route_the_sandbox_does_not_serve_is_404_in_json(api):
    for method, path in (
        ("POST", "/v2/videos/edit"),
        ("POST", "/v2/images/midjourney"),
        ("GET", "/v2/credits"),
        ("DELETE", "/v2/jobs"),
    ):
        answer = api.request(method, path)
        assert answer.status_code == 404
        assert isinstance(answer.json()["error"], str)


def test_a_reset_forgets_everything(sandbox, api):
    job_id = api.job_id()
    sandbox.faults.next("generate", status=503)
    sandbox.configure(credits=1, error_rate=1)
    sandbox.reset()
    assert sandbox.state.document()["jobs_created"] == 0
    assert sandbox.state.credits == 5000
    assert api.get(f"/v2/jobs/{job_id}").status_code == 404
    assert api.generate().status_code == 202


def test_the_state_counts_jobs_by_status(sandbox, api, clock):
    api.job_id("[fail: no]")
    api.job_id()
    clock.advance(10)
    api.job_id()
    state = api.get("/_sandbox/state").json()
    assert state["jobs"] == {
        "QUEUED": 1,
        "PROCESSING": 0,
        "COMPLETED": 1,
        "FAILED": 1,
        "CANCELLED": 0,
    }
    assert state["requests"] == {"generate": 3}
    assert (state["jobs_created"], state["jobs_paid"], state["refunds"], state["credits"]) == (
        3,
        2,
        1,
        4976,
    )
