"""The BIDS validator, an oracle for what is written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path


def errors_of(folder: Path) -> list[str]:
    """Errors that bids-validator-deno finds in a dataset: code and place."""
    beside = Path(sys.executable).with_name("bids-validator-deno")
    command = str(beside) if beside.exists() else shutil.which("bids-validator-deno")
    assert command, "bids-validator-deno is not installed; it is in the extra 'dev'"
    done = subprocess.run(
        [command, "--json", str(folder)], capture_output=True, text=True, check=False, timeout=120
    )
    return [
        f"{issue['code']} {issue.get('location')}"
        for issue in json.loads(done.stdout)["issues"]["issues"]
        if issue["severity"] == "error"
    ]
