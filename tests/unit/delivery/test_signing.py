"""Content credentials: valid for C2PA's own reader, and broken by any change."""

from __future__ import annotations

import json
import socket
import sys
from io import BytesIO
from pathlib import Path

import pytest
from certificates import certificate_pem, key_pem, new_key
from image_files import PLAIN, SAMPLES, pixels

from airflow_provider_apiframe import __version__
from airflow_provider_apiframe.api.errors import BrokenImageError, SigningError
from airflow_provider_apiframe.delivery import signing
from airflow_provider_apiframe.delivery.provenance import FoundMark, Mark, add_mark, read_mark
from airflow_provider_apiframe.delivery.signing import sign_c2pa
from airflow_provider_apiframe.delivery.signing_certificate import SigningCertificate

MARK = Mark("3f0c8a52-6f0e-4f0b-9d43-0f6f2f0f9a11", "flux-2-flex", 1)
AI_MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def make_certificate(*, for_signing: bool = True, **values: object) -> SigningCertificate:
    key = new_key()
    chain = certificate_pem(key, ("Root", new_key()), for_signing=for_signing)
    return SigningCertificate(private_key=key_pem(key), certificate_chain=chain, **values)


@pytest.fixture
def files(tmp_path):
    """The path of an image, and the path that a signed one goes to."""
    return tmp_path / "source", tmp_path / "target"


@pytest.fixture
def reader():
    """Call it with bytes for what C2PA's own reader says of them."""
    c2pa = pytest.importorskip("c2pa")

    def read(data: bytes) -> dict:
        with c2pa.Reader(None, BytesIO(data)) as opened:
            return json.loads(opened.json())

    return read


def test_a_missing_package_is_named_with_the_command_that_installs_it(files, monkeypatch):
    source, target = files
    source.write_bytes(SAMPLES["png rgb"]())
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(SigningError, match=r"pip install 'airflow-provider-apiframe\[c2pa\]'") as e:
        sign_c2pa(source, target, make_certificate(), MARK)
    assert not e.value.transient
    assert not target.exists()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_signed_image_is_valid_and_still_marked(files, reader, name):
    source, target = files
    source.write_bytes(SAMPLES[name]())
    assert add_mark(source, target, MARK)
    assert sign_c2pa(target, target, make_certificate(), MARK)
    signed = target.read_bytes()
    report = reader(signed)
    assert report["validation_state"] == "Valid"
    # Nobody vouches for a certificate that was made here.
    codes = [status["code"] for status in report["validation_status"]]
    assert codes == ["signingCredential.untrusted"]
    assert pixels(signed) == pixels(SAMPLES[name]())
    assert read_mark(target) == FoundMark(MARK.job_id, 1, intact=True)


def test_the_credentials_say_that_ai_made_it_and_which(files, reader):
    source, target = files
    source.write_bytes(SAMPLES["png rgb"]())
    assert sign_c2pa(source, target, make_certificate(), MARK)
    report = reader(target.read_bytes())
    manifest = report["manifests"][report["active_manifest"]]
    (generator,) = manifest["claim_generator_info"]
    assert (generator["name"], generator["version"]) == ("airflow-provider-apiframe", __version__)
    (assertion,) = manifest["assertions"]
    assert assertion["created"] is True  # said by the signer, not only gathered
    assert assertion["data"]["actions"] == [
        {
            "action": "c2pa.created",
            "digitalSourceType": AI_MADE,
            "softwareAgent": {"name": "Apiframe flux-2-flex"},
        }
    ]
    assert manifest["signature_info"]["common_name"] == "The press office"
    assert "time" not in manifest["signature_info"]
    assert "thumbnail" not in manifest


@pytest.mark.parametrize("name", PLAIN)
def test_a_change_breaks_the_signature(files, reader, name):
    source, target = files
    source.write_bytes(SAMPLES[name]())
    sign_c2pa(source, target, make_certificate(), MARK)
    data = bytearray(target.read_bytes())
    coded = {"png rgb": b"IDAT", "jpeg rgb": b"\xff\xda", "webp lossy": b"VP8 "}[name]
    data[data.rindex(coded) + 60] ^= 1
    assert reader(bytes(data))["validation_state"] == "Invalid"


@pytest.mark.parametrize("name", PLAIN)
def test_an_image_with_content_credentials_keeps_them(files, reader, name, tmp_path):
    source, target = files
    source.write_bytes(SAMPLES[name]())
    sign_c2pa(source, target, make_certificate(), MARK)
    again = tmp_path / "again"
    assert sign_c2pa(target, again, make_certificate(), MARK) is False
    assert add_mark(target, again, MARK) is False
    assert not again.exists()


@pytest.mark.parametrize("name", PLAIN)
def test_an_image_is_signed_in_place_and_nothing_is_left_behind(files, reader, name):
    source, _ = files
    source.write_bytes(SAMPLES[name]())
    assert sign_c2pa(source, source, make_certificate(), MARK)
    assert reader(source.read_bytes())["validation_state"] == "Valid"
    assert [path.name for path in source.parent.iterdir()] == ["source"]


def refusal(source: Path, target: Path, certificate: SigningCertificate) -> SigningError:
    with pytest.raises(SigningError) as caught:
        sign_c2pa(source, target, certificate, MARK)
    assert [path.name for path in source.parent.iterdir()] == ["source"]
    return caught.value


@pytest.fixture
def unsigned(files):
    """An image to sign, and where it goes."""
    pytest.importorskip("c2pa")
    source, target = files
    source.write_bytes(SAMPLES["png rgb"]())
    return source, target


def test_a_certificate_for_other_purposes_is_refused_with_what_it_needs(unsigned):
    error = refusal(*unsigned, make_certificate(for_signing=False, name="connection 'c2pa'"))
    assert str(error).startswith("connection 'c2pa': the image could not be signed: ")
    assert "an extended key usage such as emailProtection" in str(error)
    assert not error.transient


def test_a_timestamp_server_that_is_away_is_worth_a_retry(unsigned):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/tsa?token=s3cr3t"
        error = refusal(*unsigned, make_certificate(timestamp_url=url))
    assert error.transient
    assert "the timestamp server" in str(error)
    assert "s3cr3t" not in str(error)


def test_a_timestamp_server_that_never_answers_is_not_waited_for(unsigned, monkeypatch):
    monkeypatch.setattr(signing, "MAX_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        error = refusal(*unsigned, make_certificate(timestamp_url=url))
    assert error.transient
    assert "not signed within 0.5 s" in str(error)


def test_what_is_no_image_is_not_signed(unsigned):
    source, target = unsigned
    source.write_bytes(b"no image")
    with pytest.raises(BrokenImageError):
        sign_c2pa(source, target, make_certificate(), MARK)
    assert not target.exists()


def test_a_model_of_any_name_is_signed(unsigned, reader):
    source, target = unsigned
    mark = Mark(MARK.job_id, '<a> & "b"\0\ud800' + "m" * 70_000, 1)
    assert sign_c2pa(source, target, make_certificate(), mark)
    assert reader(target.read_bytes())["validation_state"] == "Valid"
