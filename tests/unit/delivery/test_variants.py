from __future__ import annotations

from pathlib import Path

import pytest
from image_files import metadata_piece, with_metadata
from PIL import Image

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.delivery.variant_arguments import Variant
from airflow_provider_apiframe.delivery.variants import make_variants, plan_targets
from airflow_provider_apiframe.hooks.object_store import StorageError


def stored(folder: Path, *names: str) -> dict[str, object]:
    """The result of a job whose images are in *folder*."""
    for name in names:
        Image.new("RGB", (90, 60), "red").save(folder / name)
    return {
        "job_id": "j-1",
        "status": "COMPLETED",
        "images": [{"url": "https://x", "uri": f"file://{folder}/{name}"} for name in names],
    }


STORY = {"story": Variant(size="20x40")}


def test_each_variant_is_beside_its_source_in_the_sources_format(tmp_path):
    variants = {**STORY, "banner": Variant(size="30x10", format="webp")}
    made = make_variants(stored(tmp_path, "poster.jpg"), variants)
    assert made == {
        "story": f"file://{tmp_path}/poster-story.jpg",
        "banner": f"file://{tmp_path}/poster-banner.webp",
    }
    for name, size, kind in (("story.jpg", (20, 40), "JPEG"), ("banner.webp", (30, 10), "WEBP")):
        with Image.open(tmp_path / f"poster-{name}") as image:
            assert (image.size, image.format) == (size, kind)
    assert len(list(tmp_path.iterdir())) == 3


def test_the_extension_is_that_of_the_true_format(tmp_path):
    result = stored(tmp_path, "poster.png")
    Image.new("RGB", (90, 60)).save(tmp_path / "poster.png", "JPEG")
    assert make_variants(result, STORY) == {"story": f"file://{tmp_path}/poster-story.jpg"}


def test_a_folder_of_their_own_is_made(tmp_path):
    made = make_variants(stored(tmp_path, "poster.png"), STORY, save_to=f"{tmp_path}/new/")
    assert made == {"story": f"file://{tmp_path}/new/poster-story.png"}
    assert (tmp_path / "new" / "poster-story.png").exists()


def test_the_variants_of_further_images_are_numbered(tmp_path):
    assert make_variants(stored(tmp_path, "poster.png", "poster-2.png"), STORY) == {
        "story": f"file://{tmp_path}/poster-story.png",
        "story-2": f"file://{tmp_path}/poster-2-story.png",
    }


def test_doing_it_again_replaces_each_file_by_the_same_bytes(tmp_path):
    result = stored(tmp_path, "poster.png")
    contents = []
    for _ in range(2):
        make_variants(result, STORY)
        contents.append((tmp_path / "poster-story.png").read_bytes())
    assert contents[0] == contents[1]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_result_may_come_as_text_from_a_template(tmp_path):
    assert make_variants(str(stored(tmp_path, "poster.png")), STORY)


def test_the_source_stays_as_it_is(tmp_path):
    result = stored(tmp_path, "poster.png")
    before = (tmp_path / "poster.png").read_bytes()
    make_variants(result, STORY)
    assert (tmp_path / "poster.png").read_bytes() == before


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (None, "result=None: must be what FluxGenerateOperator"),
        ([{"images": []}], "expand"),
        ("poster", "poster.output"),
        ({"images": ["x"]}, "must be what"),
        ({"job_id": "j-1", "status": "QUEUED", "images": []}, "'QUEUED'.*ApiframeJobSensor"),
        ({"job_id": "j-1", "images": [{"uri": None}]}, "'j-1' were not stored.*save_to"),
        ({"job_id": "j-1", "images": [{"uri": "/a.png"}, {}]}, "not stored"),
    ],
)
def test_what_has_no_stored_image_is_told_with_what_to_do(result, said):
    with pytest.raises(InvalidRequestError, match=said):
        make_variants(result, STORY)


def test_a_source_that_is_gone_is_no_matter_for_a_retry(tmp_path):
    result = stored(tmp_path, "poster.png")
    (tmp_path / "poster.png").unlink()
    with pytest.raises(StorageError, match=r"poster\.png could not be read") as caught:
        make_variants(result, STORY)
    assert caught.value.transient is False
    assert "A local path is seen on one worker only" in str(caught.value)


# Names


def paths(sources: list[str], names: list[str], save_to: str | None = None) -> list[str]:
    plan = plan_targets(sources, dict.fromkeys(names, Variant(size="1x1")), save_to)
    return [target.path for targets in plan for target in targets]


@pytest.mark.parametrize(
    ("source", "save_to", "path"),
    [
        ("s3://b/x/poster.png", None, "s3://b/x/poster-story"),
        ("s3://b/x.y/poster", None, "s3://b/x.y/poster-story"),
        ("s3://b/.png", None, "s3://b/.png-story"),
        ("s3://b/a.b.png", "gs://google@c/d/", "gs://google@c/d/a.b-story"),
        ("/a/poster.png", "s3://b/", "s3://b/poster-story"),
    ],
)
def test_a_variants_name_is_made_of_its_sources(source, save_to, path):
    assert paths([source], ["story"], save_to) == [path]


@pytest.mark.parametrize(
    ("sources", "names", "save_to"),
    [
        (["s3://b/a.png", "s3://b/c.png"], ["story", "story-2"], None),  # one key
        (["s3://b/a.png", "s3://b/a-2.png"], ["2-story", "story"], None),  # one file
        (["s3://b/a.png", "s3://b/x/a.png"], ["story"], "s3://b/"),
        (["s3://b/a.png", "s3://b/a-story.png"], ["story"], None),  # a source
        (["s3://b/a.png", "s3://b/a-story.png"], ["story"], "s3://aws@b/"),
    ],
)
def test_no_variant_takes_the_place_of_another_or_of_a_source(sources, names, save_to):
    with pytest.raises(InvalidRequestError, match="there is one already; take another name"):
        paths(sources, names, save_to)


def test_an_image_whose_credentials_an_edit_removes_keeps_the_mark_of_ai(tmp_path):
    result = stored(tmp_path, "poster.png")
    file = tmp_path / "poster.png"
    data = file.read_bytes()
    file.write_bytes(with_metadata(data, metadata_piece(data, "credentials", b"c2pa")))
    make_variants(result, {"story": Variant(size="20x40", format="webp")})
    assert b"trainedAlgorithmicMedia" in (tmp_path / "poster-story.webp").read_bytes()


def test_an_image_that_was_saved_without_a_mark_has_variants_without_one(tmp_path):
    make_variants(stored(tmp_path, "poster.png"), STORY)
    assert b"trainedAlgorithmicMedia" not in (tmp_path / "poster-story.png").read_bytes()
