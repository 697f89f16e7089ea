"""A machine: a guest of QEMU, booted from a disk of `rootfs.sh` with the user data of a stand-in cloud."""

import contextlib
import os
import secrets
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.patience import PATIENCE

ADDRESS = "127.80.0.1"
"""Where the guest's port is reached; only one guest runs at a time."""
NETWORK = "net=169.254.169.0/24,host=169.254.169.254,dns=169.254.169.253,dhcpstart=169.254.169.15"
UUID = "ec2a1234-5678-9abc-def0-123456789abc"
DMI = {
    "aws": f"type=1,manufacturer=Amazon EC2,product=g6.xlarge,serial={UUID},uuid={UUID}",
    "gcp": "type=1,manufacturer=Google,product=Google Compute Engine,serial=GoogleCloud-1",
}
KERNEL = (
    "root=/dev/vda rw console=ttyS0 quiet mitigations=off apparmor=0 selinux=0 audit=0 random.trust_cpu=on"
    " guest.cloud={cloud}"
)


class Guests:
    """What runs a stand-in cloud's instances, at most one at a time: `workers.sandbox.stand_in.Machines`."""

    def __init__(self, cloud: str, disks: Path, folder: Path, *, disk: str, kernel: str = "", clock: str = "") -> None:
        """`disk` is one of `disks`; `kernel` is added to the kernel's command line; `clock` is the guest's at boot."""
        self.cloud = cloud
        self._disks, self._folder, self._disk = disks, folder, disk
        self._kernel = " ".join((KERNEL.format(cloud=cloud), kernel))
        self._clock = clock or "utc"
        # QEMU ends with the thread that started it, and a stand-in's threads are short-lived.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="guests")
        self.user_data = ""
        self.id = ""
        self.port = 8000
        self._cpu_seconds = 0.0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self._folder / "console.log"

    def boot(self, id_: str, user_data: str, /) -> str:
        assert self.process is None, "one guest at a time"
        self.id, self.user_data = id_, user_data
        disk = self._folder / "disk.qcow2"
        backing = ["-b", str(self._disks / self._disk), "-F", "raw", str(disk)]
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing], check=True)
        self.process = self._starter.submit(self._start, self._argv(disk)).result()
        return ADDRESS

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def cpu_seconds(self) -> float:
        """The processor's time that QEMU has used; the last known one after its end."""
        if self.process and self.running():
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().split()
            self._cpu_seconds = sum(map(int, fields[13:15])) / os.sysconf("SC_CLK_TCK")
        return self._cpu_seconds

    def kill(self, id_: str, /) -> None:
        if self.process and id_ == self.id:
            self.process.kill()
            self.process.wait()

    def console(self, _id: str, /) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def alive(self, id_: str, /) -> bool:
        return id_ == self.id and self.running()

    def close(self) -> None:
        self.kill(self.id)
        self._starter.shutdown()

    def run(self, command: str, timeout: float = 60 * PATIENCE) -> str:
        """Run a command as root in the guest, by its second serial port; its output. Raises TimeoutError."""
        mark = secrets.token_hex(8)
        begin, end = f"begin-{mark}", f"end-{mark}"
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(timeout)
            line.connect(str(self._folder / "shell"))
            # The quotes keep the marks out of an echo of this line.
            line.sendall(f"echo 'begin'-{mark}; {{ {command}; }} 2>&1 </dev/null; echo 'end'-{mark}\n".encode())
            heard = b""
            while end.encode() not in heard:
                piece = line.recv(65536)
                assert piece, f"the guest has ended during {command!r}: {heard!r}"
                heard += piece
        text = heard.decode(errors="replace").replace("\r\n", "\n")
        return text.partition(end)[0].rpartition(f"{begin}\n")[2]

    def reboot(self) -> None:
        """Restart the guest, and return when its new system has a shell."""
        self.run("touch /run/before-the-reboot; systemctl reboot --no-block")
        deadline = time.monotonic() + 200 * PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):  # nothing reads the port during the reboot
                if self.run("test -e /run/before-the-reboot || echo rebooted", timeout=3 * PATIENCE) == "rebooted\n":
                    return
            time.sleep(1)
        raise AssertionError("The guest did not reboot.")

    @staticmethod
    def _start(argv: list[str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(("setpriv", "--pdeathsig", "KILL", *argv), stdin=subprocess.DEVNULL)

    def _argv(self, disk: Path) -> list[str]:
        hard = ["-m", "2048", "-smp", "2", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"]
        soft = ["-kernel", f"{self._disks}/vmlinuz", "-initrd", f"{self._disks}/initrd.img", "-append", self._kernel]
        net = f"user,id=n0,{NETWORK},hostfwd=tcp:{ADDRESS}:{self.port}-:{self.port}"
        return [
            "qemu-system-x86_64",
            *hard,
            *soft,
            *("-display", "none", "-no-user-config", "-rtc", f"base={self._clock}"),
            *("-smbios", DMI[self.cloud]),
            *("-drive", f"file={disk},format=qcow2,if=virtio,cache=unsafe"),
            *("-netdev", net, "-device", "virtio-net-pci,netdev=n0,romfile=", "-device", "virtio-rng-pci"),
            *("-serial", f"file:{self.log}"),
            *("-chardev", f"socket,id=shell,path={self._folder}/shell,server=on,wait=off", "-serial", "chardev:shell"),
        ]
