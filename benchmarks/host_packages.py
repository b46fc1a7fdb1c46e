"""How this machine reaches package servers, as mounts for the build of an image.

A build sees neither the machine's pip and apt configuration nor the folders and certificates that
these name. Mounted for the build alone, they leave empty mount points in the image and nothing
else.
"""

from __future__ import annotations

import ast
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

CERTIFICATE = "/etc/pip-certificate.crt"
"""Where the build sees pip's certificate: at its own place a package would want to replace it."""
_CODENAME = "bookworm"
_APT = ("apt.conf.d", "auth.conf.d", "keyrings", "trusted.gpg.d")
_APT_SOURCES = ("sources.list", "sources.list.d")
_FILE_URL = "file://"

Settings = Mapping[str, str]


def build_mounts(folder: Path) -> list[str]:
    """What to mount, as ``HOST:CONTAINER``.

    Parameters
    ----------
    folder
        Where to write the pip configuration; it must stay as long as the mounts are used.
    """
    settings = pip_settings(_pip_config_list())
    configuration = folder / "pip.conf"
    configuration.write_text(pip_configuration(settings), encoding="utf-8")
    mounts = [f"{configuration}:/etc/pip.conf", *(f"{p}:{p}" for p in local_folders(settings))]
    if "global.cert" in settings:
        mounts.append(f"{settings['global.cert']}:{CERTIFICATE}")
    names = _APT + (_APT_SOURCES if _codename() == _CODENAME else ())
    return mounts + [f"{p}:{p}" for p in (Path("/etc/apt") / name for name in names) if p.exists()]


def pip_settings(listed: str) -> dict[str, str]:
    """Read ``pip config list``; keys are ``section.name``, what the environment says comes first.

    Parameters
    ----------
    listed
        What it printed.
    """
    files: dict[str, str] = {}
    environment: dict[str, str] = {}
    for line in listed.splitlines():
        key, separator, value = line.partition("=")
        if not separator:
            continue
        text = " ".join(str(ast.literal_eval(value)).split())
        if key.startswith(":env:."):
            environment[key.replace(":env:", "global", 1)] = text
        else:
            files[key] = text
    return {**files, **environment}


def pip_configuration(settings: Settings) -> str:
    """Settings as a ``pip.conf``, the certificate where the build sees it."""
    sections: dict[str, list[str]] = {}
    for key, value in settings.items():
        section, _, name = key.partition(".")
        seen = CERTIFICATE if key == "global.cert" else value
        sections.setdefault(section, []).append(f"{name} = {seen}")
    return "".join(f"[{s}]\n" + "\n".join(lines) + "\n" for s, lines in sections.items())


def local_folders(settings: Settings) -> list[Path]:
    """Folders of this machine that the settings name."""
    return sorted({path for value in settings.values() for path in _folders(value)})


def _folders(value: str) -> Iterator[Path]:
    for word in value.split():
        path = Path(word.removeprefix(_FILE_URL))
        if path.name == "simple":  # an index may keep its files beside its pages
            path = path.parent
        if path.is_absolute() and path.is_dir():
            yield path


def _pip_config_list() -> str:
    command = [sys.executable, "-m", "pip", "config", "list"]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def _codename() -> str:
    """The distribution's name for its release, or nothing."""
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""
