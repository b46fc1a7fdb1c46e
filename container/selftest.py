"""Is the installation whole? Runs the network once; writes nothing, needs no GPU.

In the image for GPUs (``selftest.py gpu``, or where cuDNN is installed) the CUDA provider and every
library that came with it must load: what is missing shows when the image is built, not on the node
that has the GPU.
"""

from __future__ import annotations

import ctypes
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import onnxruntime as ort

from bids_strip.card import find_card
from bids_strip.participant.predict import load_predictor

_SIDE = 64


def main() -> int:
    """Say what was found; return 1 if something is missing."""
    try:
        print(f"selftest: {network()}")
        if "gpu" in sys.argv[1:] or has_cudnn():
            print(f"selftest: {cuda()}")
    except (OSError, ValueError) as error:
        print(f"selftest: {error}", file=sys.stderr)
        return 1
    return 0


def network() -> str:
    """Run the embedded network on an empty head."""
    predictor = load_predictor(find_card(None), device="cpu", threads=1)
    values = predictor.session.run(
        None,
        {predictor.session.get_inputs()[0].name: np.zeros((1, 1, *[_SIDE] * 3), np.float32)},
    )
    if not all(np.isfinite(v).all() for v in values):
        raise ValueError("the network gives no numbers")
    return f"network {predictor.card.name} runs in onnxruntime {ort.__version__}"


def has_cudnn() -> bool:
    """True if cuDNN was installed beside onnxruntime."""
    try:
        version("nvidia-cudnn-cu12")
    except PackageNotFoundError:
        return False
    return True


def cuda() -> str:
    """Load the CUDA provider the way the program does, and all that may be loaded later.

    Raises
    ------
    OSError
        If a library, or one that it needs, is not there.
    """
    ort.preload_dlls(msvc=False)
    here = Path(ort.__file__).parent / "capi"
    ctypes.CDLL(str(here / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(here / "libonnxruntime_providers_cuda.so"))
    shipped = sorted((here.parents[1] / "nvidia").glob("*/lib/lib*.so*"))
    for library in shipped:
        ctypes.CDLL(str(library))
    size_mb = sum(library.stat().st_size for library in shipped) / 1e6
    return f"the CUDA provider and {len(shipped)} libraries load, {size_mb:.0f} MB"


if __name__ == "__main__":
    sys.exit(main())
