"""A registry of container images on this computer, with an image of the scripted engine under vLLM's name."""

import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import httpx

from workers.serving.vllm_release import GPU

PORT = 5000
"""The guests' `daemon.json` names it."""
NAME, TAG = "vllm/vllm-openai", f"v{GPU.version}"
HERE, TREE = Path(__file__).parent, Path(__file__).parents[2]
SOURCES = ("workers/__init__.py", "workers/errors.py", "workers/serving/__init__.py")
ENGINE = (*SOURCES, "workers/serving/scripted.py", "workers/serving/script.py")
SITE = "usr/local/lib/python3.11/dist-packages"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
CONFIG = "application/vnd.docker.container.image.v1+json"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Registry:
    """Debian's docker-registry. It can be stopped and started, for a registry that is away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        config = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
            "http": {"addr": f"127.0.0.1:{PORT}"},
        }
        (folder / "registry.yml").write_text(json.dumps(config))

    def start(self) -> None:
        with (self._folder / "registry.log").open("ab") as log:
            argv = ["docker-registry", "serve", str(self._folder / "registry.yml")]
            bound = ["setpriv", "--pdeathsig", "KILL", *argv]  # it ends with this process
            self._process = subprocess.Popen(bound, stdout=log, stderr=log)
        transport = httpx.HTTPTransport(retries=8)  # waits up to a minute for the port
        with httpx.Client(transport=transport, trust_env=False) as client:
            client.get(f"http://127.0.0.1:{PORT}/v2/").raise_for_status()

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def push(self, python: Path) -> None:
        """Push the engine's image: Python from the archive `python`, and the engine as it is in this tree."""
        layers = [python.read_bytes(), _engine(self._folder)]
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "WorkingDir": "/root"},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
        }
        with httpx.Client(base_url=f"http://127.0.0.1:{PORT}/v2/{NAME}/", trust_env=False, timeout=60) as client:
            packed = [gzip.compress(layer, compresslevel=1, mtime=0) for layer in layers]
            described = [_blob(client, LAYER, layer) for layer in packed]
            manifest = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": _blob(client, CONFIG, json.dumps(config).encode()),
                "layers": described,
            }
            answer = client.put(f"manifests/{TAG}", content=json.dumps(manifest), headers={"Content-Type": MANIFEST})
            answer.raise_for_status()


def _blob(client: httpx.Client, kind: str, content: bytes) -> dict[str, Any]:
    upload = client.post("blobs/uploads/").raise_for_status().headers["Location"]
    at = httpx.URL(upload).copy_merge_params({"digest": _digest(content)})
    client.put(at, content=content, headers={"Content-Type": "application/octet-stream"}).raise_for_status()
    return {"mediaType": kind, "size": len(content), "digest": _digest(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _engine(folder: Path) -> bytes:
    """An archive of the scripted engine and what it imports, for the Python 3.11 of the image."""
    site = folder / "site"
    if not site.exists():
        chosen = ["--python-version", "3.11", "--only-binary", ":all:", "--no-deps", "--target", str(site), "msgspec"]
        argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *chosen]
        subprocess.run(argv, check=True)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(site, SITE)
        for source in ENGINE:
            tar.add(TREE / source, f"{SITE}/{source}")
        tar.add(HERE / "vllm", "usr/local/bin/vllm")
    return archive.getvalue()
