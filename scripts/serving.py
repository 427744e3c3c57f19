"""Starts `attn serve` for the scripts that test it."""

import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ATTN = os.environ.get("ATTN", os.path.join(ROOT, ".build/release/attn"))


class Server:
    """A running server; its log is kept."""

    def __init__(self, *arguments, environment=None):
        self.log = []
        self.ready = threading.Event()
        self.url = None
        self.process = subprocess.Popen(
            [ATTN, "serve", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
            # The server does not outlive a script that is killed (PR_SET_PDEATHSIG).
            preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGTERM),
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.ready.wait(300) or self.url is None:
            self.process.kill()
            raise SystemExit("the server did not start:\n" + "".join(self.log))

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line)
            if line.startswith("ready in "):
                self.url = re.search(r"(http\S+?)/v1/", line).group(1)
                self.ready.set()
        self.ready.set()

    def terminate(self, timeout=60):
        """Ends the server with SIGTERM and returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit("the server did not end after SIGTERM")

    def metrics(self):
        """The samples of /metrics, by name with labels but the model's."""
        text = urllib.request.urlopen(self.url + "/metrics", timeout=30).read().decode()
        samples = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                name = re.sub(r'model_name="[^"]*",?', "", name).replace("{}", "")
                samples[name] = float(value)
        return samples

    def resident(self, of="VmRSS"):
        """Resident memory in MiB; of RssAnon, without pages of files, which the kernel may take back."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(of + r":\s+(\d+)", status.read()).group(1)) / 1024

    def descriptors(self):
        """The number of open files and sockets."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def integrity(self):
        """What is inconsistent in the engine's pages, or None."""
        try:
            urllib.request.urlopen(self.url + "/debug/integrity", timeout=120).read()
        except urllib.error.HTTPError as error:
            return json.load(error)["error"]["message"]
        return None

    def wait_idle(self, seconds=30):
        """Waits until nothing runs or waits; returns whether that came to be."""
        end = time.time() + seconds
        while time.time() < end:
            samples = self.metrics()
            if not any(
                value
                for name, value in samples.items()
                if name.endswith(("num_requests_running", "num_requests_waiting"))
            ):
                return True
            time.sleep(0.05)
        return False


@contextlib.contextmanager
def serving(*arguments, environment=None):
    """A server on a free port, ended at the end; a crash is a failure."""
    server = Server("--port", "0", *arguments, environment=environment)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            status = server.terminate()
        else:
            status = server.process.returncode
        if status != 0:
            raise SystemExit(f"the server ended with {status}:\n" + "".join(server.log[-150:]))
