#!/usr/bin/env python3
"""Serves HTTPS with a certificate made for it: clients that trust it are served, others are refused,
and what is wrong with a certificate or a key is said.

    swift build -c release --product attn --traits TLS
    scripts/serve_tls.py

Needs only Python and openssl.
"""

import json
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

from serving import ATTN, serving

CHAT = json.dumps(
    {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "stream": True}
).encode()


def make(folder, name):
    """A certificate for this machine and its key."""
    paths = [os.path.join(folder, name + end) for end in (".crt", ".key")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-out", paths[0], "-keyout", paths[1]],
        check=True, capture_output=True,
    )
    return paths


def complaint(certificate, key):
    """What the server says of a certificate and a key that it cannot use."""
    ended = subprocess.run(
        [ATTN, "serve", "--port", "0", "--tls-certificate", certificate, "--tls-key", key],
        capture_output=True, text=True, timeout=60,
    )
    return ended.stderr if ended.returncode else "none"


def answer(url, trusting, body=None):
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60, context=trusting) as response:
        return response.read().decode()


def main():
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = make(folder, "own")
        _, other = make(folder, "other")
        for paths, part in (
            ((folder + "/none.crt", key), "none.crt cannot be read"),
            ((certificate, certificate), "own.crt cannot be read as a private key"),
            ((certificate, other), "is not the key of the certificate"),
        ):
            said = complaint(*paths)
            if "this build has none" in said:
                raise SystemExit(f"{ATTN} was built without the trait TLS")
            if part not in said:
                problems.append(f"expected '{part}', but the server said: {said}")
        trusting = ssl.create_default_context(cafile=certificate)
        with serving("--tls-certificate", certificate, "--tls-key", key) as server:
            if answer(server.url + "/health", trusting) != '{"status":"ok"}':
                problems.append("/health")
            chat = answer(server.url + "/v1/chat/completions", trusting, CHAT)
            if not chat.endswith("data: [DONE]\n\n"):
                problems.append(f"a stream: {chat[-200:]!r}")
            try:
                answer(server.url + "/health", ssl.create_default_context())
                problems.append("a client that does not trust the certificate was served")
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ssl.SSLCertVerificationError):
                    problems.append(f"a client that does not trust the certificate: {error}")
            try:
                answer(server.url.replace("https:", "http:") + "/health", None)
                problems.append("plain HTTP was served")
            except OSError:
                pass
            # None of it has harmed the server.
            answer(server.url + "/health", trusting)
    for problem in problems:
        print("FAILED ", problem)
    print("HTTPS:", "FAILED" if problems else "passed")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
