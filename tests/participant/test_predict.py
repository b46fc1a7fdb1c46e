"""onnxruntime behind the card; networks are made here."""

from __future__ import annotations

import resource
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special

from bids_strip.card import Card, Output, find_card
from bids_strip.domain import Conformed, Grid, Volume
from bids_strip.errors import BidsStripError, ModelError, PredictError, ProviderError
from bids_strip.geometry import dice
from bids_strip.participant import predict
from bids_strip.participant.clean import clean
from bids_strip.participant.conform import conform
from bids_strip.participant.predict import CPU, as_distance, as_shares, load_predictor
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
    assert found.shares is None


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


# where it runs: onnxruntime's surface, with the providers a machine would show ------------------


class Options:
    """Stand-in for ``SessionOptions``: keeps what is set."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value

    add_run_config_entry = add_session_config_entry


class Runtime:
    """Stand-in for the onnxruntime module.

    ``loads``: the CUDA provider works; ``fails``: asking for it is an exception; ``said``: what
    preloading prints.
    """

    SessionOptions = RunOptions = Options
    OrtArenaCfg = staticmethod(dict)
    OrtMemoryInfo = staticmethod(lambda *values: values)
    OrtAllocatorType = SimpleNamespace(ORT_ARENA_ALLOCATOR=1)
    OrtMemType = SimpleNamespace(DEFAULT=0)

    def __init__(self, *, built=True, loads=False, fails: str = "", said: str = "") -> None:
        self.built, self.loads, self.fails, self.said = built, loads, fails, said
        self.asked: list[list] = []
        self.options: list[Options] = []
        self.preloaded = 0
        self.arenas: list[tuple] = []
        self.severity: int | None = None

    def set_default_logger_severity(self, severity: int) -> None:
        self.severity = severity

    def create_and_register_allocator(self, memory, arena) -> None:
        """As of a process in which another program registered its own."""
        self.arenas.append((memory, arena))
        raise RuntimeError("already registered")

    def get_available_providers(self) -> list[str]:
        return [predict.CUDA, CPU] if self.built else [CPU]

    def preload_dlls(self) -> None:
        self.preloaded += 1
        print(self.said)

    def InferenceSession(self, _path, options, *, providers, enable_fallback=1):  # noqa: N802
        self.asked.append(providers)
        self.options.append(options)
        wanted = providers[0] if isinstance(providers[0], str) else providers[0][0]
        if wanted == predict.CUDA and self.fails:
            if enable_fallback:
                print("EP Error")
            raise RuntimeError(self.fails)
        took = wanted if wanted == CPU or self.loads else CPU
        outputs = [type("O", (), {"name": "sdt"})]
        return type("S", (), {"get_providers": lambda _: [took, CPU],
                              "get_outputs": lambda _: outputs})()  # fmt: skip


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch):
    """Install a stand-in of onnxruntime on a machine with a GPU's device file."""

    def install(**changes) -> Runtime:
        fake = Runtime(**changes)
        monkeypatch.setitem(sys.modules, "onnxruntime", fake)
        monkeypatch.setattr(predict, "_DEVICE_NODES", ("/dev/null",))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        return fake

    return install


@pytest.mark.parametrize("device", ["auto", "gpu"])
def test_a_gpu_that_loads_is_taken(network, runtime, capsys, device: str) -> None:
    fake = runtime(loads=True, said="noise")
    found = load_predictor(card_at(network), device=device, threads=3)
    assert found.provider == predict.CUDA
    assert predict.CUDA in found.where
    assert fake.preloaded == 1
    assert capsys.readouterr().out == ""
    ((name, options), second) = fake.asked[0]
    assert (name, second) == (predict.CUDA, CPU)
    assert options["cudnn_conv_algo_search"] != "EXHAUSTIVE"
    assert options["arena_extend_strategy"] == "kSameAsRequested"
    assert options["use_tf32"] == "0"


GPU_TROUBLE = {
    "libraries": ({"said": "Failed to load libcudnn.so.9: no such file"}, "libcudnn.so.9"),
    "silence": ({}, "did not load"),
    "error": ({"fails": "CUDA failure 100: no CUDA-capable device\nmore"}, "CUDA failure 100"),
    "build": ({"built": False}, "without CUDA"),
}


@pytest.mark.parametrize(("changes", "reason"), GPU_TROUBLE.values(), ids=GPU_TROUBLE)
def test_a_gpu_that_does_not_load(network, runtime, capsys, changes, reason: str) -> None:
    """``gpu`` fails in a line that names the remedy; ``auto`` goes on and says why."""
    runtime(**changes)
    with pytest.raises(ProviderError, match="--device gpu") as caught:
        load_predictor(card_at(network), device="gpu", threads=1)
    line = str(caught.value)
    assert "\n" not in line
    assert reason in line
    assert "--nv" in line
    assert "--gpus all" in line
    assert caught.value.exit_code == 1
    found = load_predictor(card_at(network), device="auto", threads=1)
    assert found.provider == CPU
    assert reason in found.where
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("visible", ["", "-1", "-1,0", "NoDevFiles"])
def test_devices_that_are_hidden(network, runtime, monkeypatch, visible: str) -> None:
    fake = runtime(loads=True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = load_predictor(card_at(network), device="auto", threads=1)
    assert found.provider == CPU
    assert "CUDA_VISIBLE_DEVICES" in found.where
    assert fake.preloaded == 0
    with pytest.raises(ProviderError, match="CUDA_VISIBLE_DEVICES"):
        load_predictor(card_at(network), device="gpu", threads=1)


@pytest.mark.parametrize("visible", ["0", "1", "2,3", "GPU-8932f937", "MIG-1/2/3"])
def test_the_first_visible_device_is_taken(network, runtime, monkeypatch, visible: str) -> None:
    """CUDA counts from 0 among those it is shown."""
    fake = runtime(loads=True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert load_predictor(card_at(network), device="gpu", threads=1).provider == predict.CUDA
    assert fake.asked[0][0][1]["device_id"] == "0"


def test_no_device_no_question(network, runtime, monkeypatch) -> None:
    """Without a device file CUDA is not asked: it would print errors and take a second."""
    fake = runtime(loads=True)
    monkeypatch.setattr(predict, "_DEVICE_NODES", ("/dev/there-is-none",))
    found = load_predictor(card_at(network), device="auto", threads=1)
    assert found.where == f"{CPU} (no GPU seen)"
    assert fake.preloaded == 0
    assert fake.asked == [[CPU]]


def test_the_processor_that_was_asked_for(network, runtime) -> None:
    fake = runtime(loads=True)
    assert load_predictor(card_at(network), device="cpu", threads=1).provider == CPU
    assert fake.preloaded == 0
    assert fake.asked == [[CPU]]


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_threads_are_always_set_and_the_log_is_quiet(network, runtime, device: str) -> None:
    fake = runtime(loads=True)
    load_predictor(card_at(network), device=device, threads=5)
    (options,) = fake.options
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (5, 1)
    assert options.log_severity_level == fake.severity == 4
    assert options.entries["session.intra_op.allow_spinning"] == "0"


def test_a_session_takes_the_processs_arena_which_holds_no_more_than_it_needs(
    network, runtime
) -> None:
    """Registered once, however many sessions; another program's own is no error."""
    fake = runtime()
    for _ in range(2):
        load_predictor(card_at(network), device="cpu", threads=1)
    ((memory, arena),) = fake.arenas
    assert memory[:2] == ("Cpu", fake.OrtAllocatorType.ORT_ARENA_ALLOCATOR)
    assert arena == {"arena_extend_strategy": 1}  # kSameAsRequested
    for options in fake.options:
        assert options.entries["session.use_env_allocators"] == "1"
        assert options.enable_cpu_mem_arena
        assert not options.enable_mem_pattern


def test_a_gpu_keeps_its_own_memory(network, runtime) -> None:
    fake = runtime(loads=True)
    assert load_predictor(card_at(network), device="gpu", threads=1).run_options is None
    (options,) = fake.options
    assert "session.use_env_allocators" not in options.entries
    assert fake.arenas == []


@pytest.mark.parametrize("said", [
    "std::bad_alloc", "BFCArena: Failed to allocate memory for requested buffer",
])  # fmt: skip
def test_want_of_memory_has_a_remedy(network, said: str) -> None:
    class Session:
        def get_inputs(self):
            return [SimpleNamespace(name="image")]

        get_outputs = get_inputs

        def run(self, *_):
            raise RuntimeError(said)

    with pytest.raises(PredictError, match="not enough memory; give fewer --nprocs"):
        predict.OnnxPredictor(card_at(network), CPU, Session())(conformed())


def held_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells what is held")
def test_memory_goes_back_after_each_prediction(network) -> None:
    """All but the outputs: what a head took would else stay beside all later stages."""
    predictor = load_predictor(card_at(network), device="cpu", threads=1)
    head = conformed()
    wide = replace(head, data=np.ones((256, 256, 256), np.float32))
    predictor(head)
    before = held_mb()
    predictor(wide)
    assert held_mb() - before < 1.5 * wide.data.nbytes / 1e6


@pytest.mark.gpu
def test_a_real_gpu_gives_the_same_mask() -> None:
    card = find_card(None)
    try:
        gpu = load_predictor(card, device="gpu", threads=1)
    except ProviderError as error:
        pytest.skip(str(error))
    head = make_phantom("RAS")
    there = conform(Volume(head.data, Grid(head.data.shape, head.affine)), card)
    masks = [p(there).brain_mm <= 0 for p in (gpu, load_predictor(card, device="cpu", threads=2))]
    assert dice(*masks) >= 0.9999


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

        def run(self, _names, _inputs, _options):
            return [np.zeros((1, 1, 4, 4, 4), np.float32), logits]

    card = replace(card, outputs=(*card.outputs, Output("tissue", None, "logits", "tissue")))
    head = replace(conformed(), data=np.zeros((4, 4, 4), np.float32))
    found = predict.OnnxPredictor(card, CPU, Session())(head)
    assert found.shares is not None
    labels = found.shares.argmax(axis=0)
    assert (labels[:2] == 3).all()
    assert (labels[2:] == 5).all()


@pytest.mark.parametrize("meaning", ["logits", "probability"])
def test_shares_are_a_softmax_or_what_was_given(rng, meaning: str) -> None:
    """Against scipy's softmax, with logits that overflow if taken as they are."""
    logits = rng.normal(0, 200, (6, 3, 4, 5)).astype(np.float32)
    expected = special.softmax(logits, axis=0)
    given = logits if meaning == "logits" else expected
    found = as_shares(given, Output("tissue", None, meaning, "tissue"))
    assert np.allclose(found, expected, atol=1e-6)
