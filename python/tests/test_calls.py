"""What is common to all calls: errors that name arguments, threads, and no need of torch."""

import os
import signal
import subprocess
import sys
import threading
import time
import unittest
import warnings

import numpy as np
from oracle import Numbers

import swift_attention
from swift_attention import AttentionError

swift_attention.install_as_flashinfer()
import flashinfer  # noqa: E402


class Mistakes(Numbers):
    def test_arguments_are_named(self):
        q, k = self.normal(2, 4, 64), self.normal(6, 2, 64)
        single = flashinfer.single_prefill_with_kv_cache
        for arguments, name in [
            ((q.astype(np.float64), k, k), "q"),
            ((q, k[0], k), "k"),
            ((q, k, k[:4]), "values"),
            ((q, k, "v"), "v"),
            ((q[:, :3], k, k), "heads"),
        ]:
            with self.assertRaisesRegex(AttentionError, name):
                single(*arguments)
        wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper()
        with self.assertRaisesRegex(RuntimeError, "plan"):
            wrapper.run(q, np.zeros((1, 2, 4, 2, 64), np.float32))
        with self.assertRaisesRegex(AttentionError, "indptr"):
            wrapper.plan(np.array([0.0, 1.0]), np.array([0]), np.array([1]), 4, 2, 64, 4)
        wrapper.plan(np.array([0, 1]), np.array([7]), np.array([1]), 4, 2, 64, 4)
        with self.assertRaisesRegex(AttentionError, "page"):
            wrapper.run(q[:1], np.zeros((1, 2, 4, 2, 64), np.float32))

    def test_threads(self):
        q, k = self.normal(8, 4, 64), self.normal(40, 2, 64)
        expected = flashinfer.single_prefill_with_kv_cache(q, k, k, causal=True)
        failures = []

        def work():
            for _ in range(50):
                found = flashinfer.single_prefill_with_kv_cache(q, k, k, causal=True)
                if not (found == expected).all():
                    failures.append(found)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_forks(self):
        q, k = self.normal(300, 4, 64), self.normal(700, 2, 64)
        expected = flashinfer.single_prefill_with_kv_cache(q, k, k, causal=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            found = flashinfer.single_prefill_with_kv_cache(q, k, k, causal=True)
            os._exit(0 if (found == expected).all() else 3)
        for _ in range(3000):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            time.sleep(0.01)
        else:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            self.fail("the child does not end")
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)

    def test_nothing_imports_torch(self):
        lines = [
            "import sys, numpy, swift_attention",
            "swift_attention.install_as_flashinfer()",
            "import flashinfer",
            "x = numpy.ones((3, 2, 64), numpy.float32)",
            "flashinfer.single_prefill_with_kv_cache(x, x, x)",
            "sys.exit('torch' in sys.modules)",
        ]
        self.assertEqual(subprocess.run([sys.executable, "-c", "\n".join(lines)]).returncode, 0)


if __name__ == "__main__":
    unittest.main()
