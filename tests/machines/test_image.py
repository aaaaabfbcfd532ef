"""The image is built and driven as the docs say: locked down, healthy, answering, and ending in mid-answer with 0."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.lifecycle.test_process import Process
from tests.machines.conftest import Debian, call
from tests.rules import text_of
from tests.service import ROOT, Service
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, wait
from tests.test_docs import run

pytestmark = pytest.mark.machines

IMAGE = "localhost/realtime-rag:machines"
BASE = """\
FROM scratch
ADD {tar} /
RUN ln -s python3 /usr/bin/python
ENV PATH=/usr/local/bin:/usr/bin:/bin
"""
STORAGE = """\
[storage]
driver = "overlay"
runroot = "{folder}/run"
graphroot = "{folder}/graph"
"""
# What an operator may take away: docs/deployment.md.
LOCKED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
LOOK = """
import errno, json, os
status = dict(map(str.strip, line.split(":", 1)) for line in open("/proc/self/status"))
try:
    open("/srv/new", "w")
    written = "yes"
except OSError as error:
    written = errno.errorcode[error.errno]
found = {"user": [os.getuid(), os.getgid()], "written": written}
print(json.dumps({**found, "capabilities": int(status["CapEff"], 16), "no_new": status["NoNewPrivs"]}))
"""


@pytest.fixture(scope="module")
def podman(debian: Debian) -> Iterator[list[str]]:
    """The command of an engine that has the image, built on `PYTHON_IMAGE`, or on a stand-in where no registry is."""
    for tool in ("podman", "buildah"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    with tempfile.TemporaryDirectory(prefix="image-") as path, pytest.MonkeyPatch.context() as patch:
        folder = Path(path)
        (folder / "storage.conf").write_text(STORAGE.format(folder=folder))
        patch.setenv("CONTAINERS_STORAGE_CONF", str(folder / "storage.conf"))
        patch.setenv("BUILDAH_ISOLATION", "chroot")
        base = os.environ.get("PYTHON_IMAGE") or stand_in(debian("trixie"), folder)
        certificates = ["--volume", "/etc/ssl/certs:/etc/ssl/certs:ro"]  # those by which this machine knows its index
        build = ["buildah", "bud", "--quiet", "--format", "docker", "--network", "host", *certificates]
        call(*build, "--build-arg", f"PYTHON_IMAGE={base}", "-t", IMAGE, ROOT)
        runtime = ["--runtime", "runc"] if shutil.which("runc") else []
        try:
            yield ["podman", "--cgroup-manager", "cgroupfs", *runtime]
        finally:
            call("buildah", "rmi", "--all", "--force")


def stand_in(tar: Path, folder: Path) -> str:
    """A base of Debian's own packages, where there is no registry to take Python's image from."""
    print("\nPYTHON_IMAGE is not set: the base is a stand-in made of Debian's packages, not Python's own image.")
    (folder / "base").mkdir()
    os.link(tar, folder / "base" / tar.name)
    (folder / "base" / "Dockerfile").write_text(BASE.format(tar=tar.name))
    call("buildah", "bud", "--quiet", "--format", "docker", "--pull-never", "-t", "localhost/base", folder / "base")
    return "localhost/base"


class Container(Process):
    """A container in the foreground: its log and its exit status are those of its process."""

    def __init__(self, process: asyncio.subprocess.Process, podman: list[str], name: str, port: int) -> None:
        super().__init__(process)
        self.name = name
        self._podman = podman
        self.service = Service(port)

    async def do(self, action: str, *arguments: str) -> str:
        return await run(*self._podman, *action.split(), *arguments)


@asynccontextmanager
async def running(podman: list[str], *options: str) -> AsyncIterator[Container]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name = f"realtime-rag-{port}"
    # The limits, because podman by itself asks for more than some machines grant.
    limits = ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]
    plain = ["--name", name, "--network=host", "--health-interval=disable", *limits, "--env", f"PORT={port}"]
    process = await asyncio.create_subprocess_exec(
        *podman, "run", *plain, *LOCKED, *options, IMAGE, stderr=asyncio.subprocess.PIPE
    )
    try:
        container = Container(process, podman, name, port)
        await container.read_until("Connect to")
        yield container
    finally:
        await run(*podman, "rm", "--force", name)
        await process.wait()


async def test_it_answers_from_the_docs_and_is_healthy_with_the_least_rights(podman: list[str]) -> None:
    async with running(podman, "--env", "RAG_PROVIDER=local") as container:
        await container.do("healthcheck run", container.name)
        found = json.loads((await container.do("exec", container.name, "python", "-c", LOOK)).splitlines()[-1])
        assert found == {"user": [65532, 65532], "written": "EROFS", "capabilities": 0, "no_new": "1"}
        async with container.service.connect() as client:  # from the docs that the image holds
            assert "RAG_TIMEOUT" in text_of(await client.ask("what happens when Dify is slow"))
        await container.do("stop", "-t", "15", container.name)
        assert await container.rest() == 0


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    (tmp_path / "lantern.md").write_text("The lantern hangs in the attic.", encoding="utf-8")
    tmp_path.chmod(0o755)
    return tmp_path


async def test_it_answers_from_a_folder_that_is_mounted(podman: list[str], handbook: Path) -> None:
    folder = ("--volume", f"{handbook}:/srv/docs:ro", "--env", "RAG_PROVIDER=local")
    async with running(podman, *folder) as container, container.service.connect() as client:
        assert "attic" in text_of(await client.ask("where is the lantern"))


async def test_told_to_stop_it_finishes_its_answer_and_ends_with_0(podman: list[str], dify: StandInDify) -> None:
    go_on = asyncio.Event()
    dify.will(answer("One", wait(go_on), " two"))
    upstream = ("--env", f"DIFY_API_KEY={dify.api_key}", "--env", f"DIFY_BASE_URL={dify.base_url}")
    async with running(podman, *upstream) as container, container.service.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One")
        stopped = asyncio.create_task(container.do("stop", "-t", "15", container.name))
        await container.read_until("draining")
        go_on.set()
        frames = await client.until(stage="closed")
        assert "".join(frame["content"] for frame in frames if frame["type"] == "answer").endswith(" two")
        assert await client.close_code() == 1012
        await stopped
        assert await container.rest() == 0
