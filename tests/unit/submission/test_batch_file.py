"""Files of requests as people and programs write them."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from flux_strategies import model_and_params
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.hooks.connection import ConnectionNotFoundError
from airflow_provider_apiframe.hooks.object_store import StorageError, StoredFileMissingError
from airflow_provider_apiframe.submission.batch_file import MAX_FILE_BYTES
from airflow_provider_apiframe.submission.batch_requests import BatchRequest, read_requests

# A template is refused in a file, and no random text should hold one by chance.
TEMPLATE = re.compile(r"\{\{.*\}\}|\{%.*%\}|\{#.*#\}", re.DOTALL)
PROMPTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda text: text.strip() and not TEMPLATE.search(text)
)


@pytest.fixture
def read(tmp_path):
    """Call it with a file's content, and its name, to read the requests in it."""

    def read(content: str | bytes, name: str = "requests.csv") -> list[BatchRequest]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_path(path)

    return read


def read_path(path: Path | str, **options: object) -> list[BatchRequest]:
    return read_requests(
        str(path), model="flux-2-flex", params=None, params_name="flux_params", **options
    )


def problems(read, *arguments: object) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        read(*arguments)
    return {place: reason for place, (reason,) in caught.value.fields.items()}


def prompts(requests: list[BatchRequest]) -> list[str]:
    return [each.request.prompt for each in requests]


@given(st.lists(st.tuples(PROMPTS, model_and_params()), min_size=1, max_size=6), st.booleans())
def test_json_lines_that_were_written_are_read_as_the_same_requests(
    tmp_path_factory, written, ensure_ascii
):
    path = tmp_path_factory.mktemp("files") / "requests.jsonl"
    lines = [
        {"prompt": prompt, "model": model, "flux_params": params, "id": f"sku-{number}"}
        for number, (prompt, (model, params)) in enumerate(written)
    ]
    text = "".join(json.dumps(line, ensure_ascii=ensure_ascii) + "\n" for line in lines)
    path.write_bytes(text.encode())
    assert [(each.request, each.id, each.index) for each in read_path(path)] == expected(written)


@given(
    st.lists(st.tuples(PROMPTS, model_and_params()), min_size=1, max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.booleans(),
)
def test_a_csv_file_that_was_written_is_read_as_the_same_requests(
    tmp_path_factory, written, newline, quoting, with_bom
):
    path = tmp_path_factory.mktemp("files") / "requests.csv"
    columns = sorted({name for _, (_, params) in written for name in params})
    file = io.StringIO(newline="")
    if any("\r" in prompt for prompt, _ in written):  # before Python 3.13 the writer forgets it
        quoting = csv.QUOTE_ALL
    writer = csv.writer(file, lineterminator=newline, quoting=quoting)
    writer.writerow(["id", "model", *columns, "prompt"])
    for number, (prompt, (model, params)) in enumerate(written):
        cells = [params.get(name) for name in columns]
        texts = [json.dumps(cell) if isinstance(cell, list) else cell for cell in cells]
        writer.writerow([f"sku-{number}", model, *texts, prompt])
    path.write_bytes(file.getvalue().encode("utf-8-sig" if with_bom else "utf-8"))
    assert [(each.request, each.id, each.index) for each in read_path(path)] == expected(written)


def expected(written) -> list[tuple[GenerateRequest, str, int]]:
    return [
        (
            GenerateRequest.parse(prompt=prompt, model=model, flux_params=params),
            f"sku-{number}",
            number,
        )
        for number, (prompt, (model, params)) in enumerate(written)
    ]


def test_an_excel_file_is_read_with_its_byte_order_mark_and_its_line_ends(read):
    content = "\ufeffprompt,seed,prompt_upsampling\r\nGrüße,7,TRUE\r\n,,\r\n"
    (request,) = read(content.encode())
    assert request.request.prompt == "Grüße"
    params = {"seed": 7, "prompt_upsampling": True}
    assert request.request.params.as_dict() == params
    assert request.given == {"prompt": "Grüße", "flux_params": params}


def test_a_record_is_known_by_the_line_where_it_starts(read):
    content = 'prompt,seed\n"a\nb\nc",1\n\nd,2\n"e\nf",3\n'
    requests = read(content)
    assert [each.place for each in requests] == ["line 2", "line 6", "line 7"]
    assert prompts(requests) == ["a\nb\nc", "d", "e\nf"]
    assert [each.index for each in requests] == [0, 1, 2]


def test_empty_lines_count_as_lines_and_nothing_else(read):
    requests = read('\n{"prompt": "a"}\n\r\n  \n{"prompt": "b"}', "r.jsonl")
    assert [(each.index, each.place) for each in requests] == [(0, "line 2"), (1, "line 5")]
    assert prompts(read("\n\nprompt\n\n\na\n,\n , \n")) == ["a"]


def test_the_names_of_columns_may_have_spaces_around_them_and_cells_too(read):
    (request,) = read(" prompt , seed ,id\n a cat ,  7 , sku-1 \n")
    assert request.request.prompt == " a cat ", "the prompt stays as it is"
    assert (request.request.params.as_dict(), request.id) == ({"seed": 7}, "sku-1")


def test_an_empty_cell_is_not_set(read):
    (request,) = read("id,prompt,model,seed,steps\n,a cat,, ,\n")
    assert (request.id, request.request.model) == (None, "flux-2-flex")
    assert request.request.params.as_dict() == {}


def test_cells_at_the_end_of_a_line_may_be_left_out(read):
    requests = read("prompt,seed,steps\na,1\nb\nc,,,,\n")
    assert [each.request.params.as_dict() for each in requests] == [{"seed": 1}, {}, {}]


def test_reference_images_are_a_json_list_or_one_link(read):
    header = "prompt,input_images\n"
    two = '["https://x.example/1.png", "s3://b/2.png"]'.replace('"', '""')
    requests = read(f'{header}a,"{two}"\nb,/data/3.png\n')
    assert requests[0].request.reference_images == ["https://x.example/1.png", "s3://b/2.png"]
    assert requests[0].request.paths == ["s3://b/2.png"]
    assert requests[1].request.paths == ["/data/3.png"]


def test_all_parameters_may_stand_in_one_column_beside_others(read):
    (request,) = read('prompt,flux_params,seed\na,"{""steps"": 20}",7\n')
    assert request.request.params.as_dict() == {"steps": 20, "seed": 7}
    found = problems(read, 'prompt,flux_params,seed\na,"{""seed"": 20}",7\n')
    assert found == {"line 2": "seed: given twice, in flux_params and in a column of its own"}


@pytest.mark.parametrize(
    ("content", "name", "place", "shown"),
    [
        ('{"prompt": "a"}\n{"prompt": "on {{ ds }}"}', "a.jsonl", "line 2", "prompt='on {{ ds }}'"),
        ('{"prompt": "{% if x %}a{% endif %}"}', "a.jsonl", "line 1", "prompt='{% if x %}"),
        ('{"prompt": "a cat {# or a dog #}"}', "a.jsonl", "line 1", "prompt='a cat {#"),
        (
            '{"prompt": "a", "flux_params": {"input_images": ["{{ x }}"]}}',
            "a.jsonl",
            "line 1",
            "flux_params={'input_images': ['{{ x }}']}",
        ),
        ("prompt,seed\na,1\nb,{{ seed }}", "a.csv", "line 3", "seed='{{ seed }}'"),
        ("prompt,id\na,{{ sku }}", "a.csv", "line 2", "id='{{ sku }}'"),
    ],
)
def test_a_template_in_a_file_is_refused_for_nothing_would_render_it(
    read, content, name, place, shown
):
    ((where, reason),) = problems(read, content, name).items()
    assert where == place
    assert shown in reason
    assert "nothing renders a file" in reason
    assert "requests=that_task.output" in reason


def test_braces_that_are_no_template_are_sent_as_they_are(read):
    texts = ["a {cat}", "#} a sign with }} and {{", "50 %} of {#ff0000", "{ {x} }"]
    lines = [json.dumps({"prompt": text}) for text in texts]
    assert prompts(read("\n".join(lines), "a.jsonl")) == texts


def test_each_of_the_broken_lines_among_many_is_named_with_what_is_wrong(read):
    lines = [json.dumps({"prompt": f"poster {number}"}) for number in range(500)]
    lines[6] = '{"prompt": "a cat", "flux_params": {"steps": 99}}'
    lines[98] = '{"prompt": "a cat",}'
    lines[499] = '{"promt": "a cat"}'
    with pytest.raises(InvalidRequestError) as caught:
        read("\n".join(lines), "requests.jsonl")
    text = str(caught.value)
    assert "requests.jsonl': 3 of 500 are wrong. Nothing was submitted.\n" in text
    assert "\n  line 7: flux_params: steps=99: must be a whole number from 1 to 50" in text
    assert "\n  line 99: is not one JSON object: " in text
    assert "\n  line 500: 'promt' is unknown, did you mean 'prompt'?; prompt=None: must" in text
    assert list(caught.value.fields) == ["line 7", "line 99", "line 500"]


def test_of_many_broken_lines_the_first_twenty_are_told(read):
    with pytest.raises(InvalidRequestError) as caught:
        read("prompt,steps\n" + "".join(f"poster {number},0\n" for number in range(500)))
    assert str(caught.value).count("\n  line ") == 20
    assert str(caught.value).endswith("\n  and 480 more")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"prompt": "a", "prompt": "b"}', "'prompt' is given twice"),
        ('{"prompt": "a", "flux_params": {"seed": NaN}}', "NaN is no number"),
        ("[" * 100_000, "it is nested too deep"),
        ('{"prompt": "a"} {"prompt": "b"}', "Extra data at column 17"),
        ('["a"]', 'must be a mapping such as {"prompt": "a cat"}, not [\'a\']'),
        ('"a cat"', "must be a mapping"),
        ('{"prompt": "a", "flux_params": {"seed": ' + "9" * 5000 + "}}", "Exceeds the limit"),
        (b'{"prompt": "\xe9"}', "is not UTF-8 text, by its byte 13 (0xe9); save the file as UTF-8"),
        ('{"prompt": "' + "x" * 2**20 + '"}', "has more than 1 MB; a request is one line"),
        ('{"prompt": "\\ud83d"}', "half a character"),
    ],
)
def test_a_line_that_is_no_json_object_is_told_and_the_others_are_still_read(read, line, reason):
    content = line if isinstance(line, bytes) else line.encode()
    found = problems(read, b'{"prompt": "a"}\n' + content + b'\n{"prompt": ""}', "requests.jsonl")
    assert list(found) == ["line 2", "line 3"]
    assert reason in found["line 2"]


@pytest.mark.parametrize(
    ("content", "place", "reason"),
    [
        ("prompt;seed\na;1\n", "line 1", "separated by ';', and a CSV file needs ','"),
        ('"prompt";"seed"\n"a";"1"\n', "line 1", "separated by ';'"),
        ("prompt\tseed\na\t1\n", "line 1", "separated by tabs"),
        ("\ufeffid;prompt;size, cm\r\na;b;3\r\n", "line 1", "separated by ';'"),
        ('"size, cm";"prompt"\r\n3;b\r\n', "line 1", "separated by ';'"),
        ("seed,prompt,seed\n1,a,2\n", "line 1", "has the column 'seed' twice"),
        ("prompt,sead\na,1\n", "line 1", "'sead' is unknown, did you mean 'seed'?"),
        ("prompt,webhook_url\na,b\n", "line 1", "a batch takes no webhooks"),
        ("prompt,params\na,{}\n", "line 1", "'params' is unknown, did you mean"),
        ("prompt,x y z\na,1\n", "line 1", "known are prompt, model, id, flux_params and the param"),
        ("prompt,x y z\na,1\n", "line 1", "; remove the column"),
        ("prompt,x;y\na,1\n", "line 1", "'x;y' is unknown"),
        ("a cat\na dog\n", "line 1", "must name the columns, and 'prompt' is not among them"),
        ("prompt,seed\na, b,1\n", "line 2", "has 3 cells, the header has 2"),
        ("prompt,\na,1\n", "line 2", "has '1' in a column without a name"),
        ("prompt,seed\n,1\n", "line 2", "prompt=None"),
        ('prompt\n"a\n\nb\n', "line 2", "maybe a quote is missing or one too many"),
        ('prompt\n\n"a" b\n', "line 3", "maybe a quote is missing or one too many"),
        ('prompt\n"' + "x" * 200_000 + '"\n', "line 2", "field larger than field limit"),
        ("prompt\ra\rb\r", "line 1", "may need the line ends of Windows or Unix"),
        (b"prompt\na\n\xe9t\xe9\n", "line 3", "is not UTF-8 text, by its byte 1 (0xe9)"),
        ("prompt\r\na\r\n".encode("utf-16"), "line 1", "is not UTF-8 text, by its byte 1 (0xff)"),
        ("prompt\n" + "x" * 2**21, "line 2", "has more than 1 MB"),
        ("prompt,steps\na,30\nb,fast\n", "line 3", "flux_params: steps='fast': must be a whole"),
        ("prompt,model,raw\na,,true\n", "line 2", "flux-2-flex does not take it"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_told_by_its_line(read, content, place, reason):
    found = problems(read, content)
    assert list(found) == [place]
    assert reason in found[place]


def test_behind_a_broken_quote_nothing_is_read_and_that_is_said(read):
    found = problems(read, 'prompt,seed\na,x\n"b" c,1\nd,y\n')
    assert list(found) == ["line 2", "line 3"]
    assert found["line 3"].endswith("What follows was not read")


@pytest.mark.parametrize(
    ("name", "content"),
    [("r.jsonl", ""), ("r.csv", ""), ("r.csv", "prompt\n"), ("r.jsonl", "\n\n")],
)
def test_a_file_without_a_request_is_refused(read, name, content):
    with pytest.raises(InvalidRequestError, match=r"there is no request in it.*1 to 10,000"):
        read(content, name)


def test_ten_thousand_requests_are_read_and_not_one_more(read):
    lines = [f"poster {number}\n" for number in range(10_000)]
    assert len(read("prompt\n" + "".join(lines))) == 10_000
    found = problems(read, "prompt\n" + "".join([*lines, "one more\n", "another\n"]))
    assert found == {"line 10002": "a batch has up to 10,000 requests; what follows was not read"}


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "requests.csv").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(StorageError, match=f"more than {MAX_FILE_BYTES}"):
        read_path(tmp_path / "requests.csv")


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(StoredFileMissingError, match=r"requests\.csv could not be read"):
        read_path(tmp_path / "requests.csv")


def test_a_folder_is_no_file_whatever_its_name(tmp_path):
    (tmp_path / "requests.csv").mkdir()
    with pytest.raises(StorageError, match="is a folder; name one file in it"):
        read_path(tmp_path / "requests.csv")


def test_a_worker_without_room_for_a_copy_is_told_from_a_missing_file(read, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")
    with pytest.raises(StorageError, match="The worker's own disk") as caught:
        read("prompt\na\n")
    assert caught.value.transient


def test_the_connection_of_the_storage_is_looked_for_first():
    with pytest.raises(ConnectionNotFoundError, match="no_such_conn"):
        read_path("s3://no_such_conn@bucket/requests.csv")
    with pytest.raises(ConnectionNotFoundError, match="another_one"):
        read_path("s3://bucket/requests.csv", storage_conn_id="another_one")


def test_the_extension_may_be_written_in_capitals(read):
    assert prompts(read("prompt\na\n", "EXPORT.CSV")) == ["a"]
    assert prompts(read('{"prompt": "a"}', "EXPORT.JSONL")) == ["a"]
