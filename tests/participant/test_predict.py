"""onnxruntime behind the card; networks are made here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_strip.card import Card, Output, find_card
from bids_strip.domain import Conformed, Grid, Volume
from bids_strip.errors import BidsStripError, ModelError, PredictError, ProviderError
from bids_strip.geometry import dice
from bids_strip.participant import predict
from bids_strip.participant.clean import clean
from bids_strip.participant.conform import conform
from bids_strip.participant.predict import CPU, as_distance, load_predictor
from bids_strip.participant.restore import restore
from tests.fakes import CARD, make_phantom, write_card, write_network


def conformed(name: str = "RAS") -> Conformed:
    head = make_phantom(name)
    return conform(Volume(head.data, Grid(head.data.shape, head.affine)), CARD)


def card_at(path) -> Card:
    return find_card(str(path))


def test_a_network_of_distances(network) -> None:
    predictor = load_predictor(card_at(network), device="cpu", threads=1)
    head = conformed()
    found = predictor(head)
    assert predictor.provider == CPU
    assert found.brain_mm.shape == head.data.shape
    assert found.brain_mm.dtype == np.float32
    assert np.allclose(found.brain_mm, (head.data - 0.6) * -10, atol=1e-5)
    assert found.tissue is None


def test_two_predictions_are_the_same(network) -> None:
    predictor = load_predictor(card_at(network), device="auto", threads=1)
    head = conformed()
    assert np.array_equal(predictor(head).brain_mm, predictor(head).brain_mm)


@pytest.mark.parametrize("name", ["RAS", "PSR"])
@pytest.mark.parametrize("meaning", ["probability", "logits"])
def test_other_meanings_have_the_same_surface(tmp_path, name: str, meaning: str) -> None:
    """Probabilities and logits of the brain grow inwards: sign -1, surface at 0."""
    path = write_network(
        tmp_path, meaning=meaning, gain=10.0, sigmoid=meaning == "probability", sign=-1
    )
    predictor = load_predictor(card_at(path), device="cpu", threads=1)
    head = conformed(name)
    level = predictor(head).brain_mm
    assert np.array_equal(level < 0, head.data > 0.6)
    native = make_phantom(name)
    found = restore(clean(predictor(head), head.zooms), head.frame)
    assert dice(found <= 0, native.truth) > 0.95


def test_sign_offset_and_channel_follow_the_card() -> None:
    values = np.arange(2 * 8, dtype=np.float32).reshape(1, 2, 2, 2, 2)
    inwards = Output("sdt", 1, "sdt_mm", "brain", sign=-1, offset_mm=10.0)
    assert np.array_equal(as_distance(values, inwards), 10 - values[0, 1])
    plain = Output("sdt", None, "sdt_mm", "brain")
    assert np.array_equal(as_distance(values, plain), values[0, 0])


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_probabilities_at_their_ends_are_finite(value: float) -> None:
    output = Output("p", 0, "probability", "brain", sign=-1)
    found = as_distance(np.full((1, 1, 2, 2, 2), value, np.float32), output)
    assert np.isfinite(found).all()
    assert (np.sign(found) == np.sign(0.5 - value)).all()


def test_gpu_without_a_gpu_is_one_line(network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "_has_gpu", lambda: False)
    with pytest.raises(ProviderError, match="--device gpu") as caught:
        load_predictor(card_at(network), device="gpu", threads=1)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_gpu_that_onnxruntime_silently_leaves_out(network, monkeypatch) -> None:
    """A device is there, the libraries are not: onnxruntime falls back without an error."""
    import onnxruntime as ort

    monkeypatch.setattr(predict, "_has_gpu", lambda: True)
    monkeypatch.setattr(ort, "get_available_providers", lambda: [predict.CUDA, CPU])
    session = ort.InferenceSession
    monkeypatch.setattr(
        ort, "InferenceSession", lambda path, options, providers: session(
            path, options, providers=[CPU])
    )  # fmt: skip
    with pytest.raises(ProviderError):
        load_predictor(card_at(network), device="gpu", threads=1)
    assert load_predictor(card_at(network), device="auto", threads=1).provider == CPU


def test_auto_without_a_gpu_takes_the_processor(network, monkeypatch) -> None:
    monkeypatch.setattr(predict, "_has_gpu", lambda: False)
    assert load_predictor(card_at(network), device="auto", threads=1).provider == CPU


def test_distances_that_are_not_numbers(tmp_path) -> None:
    path = write_network(tmp_path, gain=float("nan"))
    predictor = load_predictor(card_at(path), device="cpu", threads=1)
    with pytest.raises(PredictError, match="not numbers"):
        predictor(conformed())


def test_a_network_that_fails_says_why_in_a_line(network) -> None:
    predictor = load_predictor(card_at(network), device="cpu", threads=1)
    wrong = replace(conformed(), data=conformed().data.astype(np.float64))
    with pytest.raises(PredictError) as caught:
        predictor(wrong)
    assert "\n" not in str(caught.value)
    assert caught.value.stage == "predict"


@pytest.mark.parametrize(
    "content", [b"", b"not a network", b"\x08\x07" * 40], ids=["empty", "text", "no graph"]
)
def test_a_file_that_is_no_network_is_a_model_error(tmp_path, content: bytes) -> None:
    """The card's hash fits: it was written for this file. Still one line, not a traceback."""
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    write_card(path)
    with pytest.raises(BidsStripError) as caught:
        load_predictor(card_at(path), device="cpu", threads=1)
    assert "bad.onnx" in str(caught.value)


def test_a_card_that_names_an_output_the_network_lacks(tmp_path) -> None:
    """Known before the first run: not an internal error of every run."""
    path = write_network(tmp_path)
    write_card(path, outputs=[{"name": "other", "channel": 0, "meaning": "sdt_mm",
                               "role": "brain"}])  # fmt: skip
    with pytest.raises(ModelError, match="other"):
        load_predictor(card_at(path), device="cpu", threads=1)


def test_tissue_is_the_likeliest_label(tmp_path, network) -> None:
    card = card_at(network)
    logits = np.zeros((1, 6, 4, 4, 4), np.float32)
    logits[0, 3, :2] = 5
    logits[0, 5, 2:] = 5

    class Session:
        def get_inputs(self):
            return [type("I", (), {"name": "image"})]

        def get_outputs(self):
            return [type("O", (), {"name": n}) for n in ("sdt", "tissue")]

        def run(self, _names, _inputs):
            return [np.zeros((1, 1, 4, 4, 4), np.float32), logits]

    card = replace(card, outputs=(*card.outputs, Output("tissue", None, "logits", "tissue")))
    found = predict.OnnxPredictor(card, CPU, Session())(conformed())
    assert found.tissue is not None
    assert found.tissue.dtype == np.uint8
    assert (found.tissue[:2] == 3).all()
    assert (found.tissue[2:] == 5).all()
