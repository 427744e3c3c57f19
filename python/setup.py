"""Builds libattention with Swift and puts it into the wheel.

The library contains the Swift runtime, so that the wheel works without Swift.
SWIFT_ATTENTION_LIBRARY names a library that is built already.
"""

import os
import shutil
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:
    from wheel.bdist_wheel import bdist_wheel

ROOT = Path(__file__).resolve().parent.parent


class Build(build_py):
    """Also builds the library."""

    def run(self):
        super().run()
        library = os.environ.get("SWIFT_ATTENTION_LIBRARY")
        if not library:
            # SwiftPM's own --static-swift-stdlib is for executables alone.
            command = [
                "swift", "build", "--configuration", "release", "--product", "attention",
                "-Xswiftc", "-static-stdlib", "-Xlinker", "--strip-debug", "-Xlinker",
                f"--version-script={ROOT / 'python' / 'exports.map'}", "--package-path", str(ROOT),
                "--scratch-path", str(ROOT / ".build-wheel"),
            ]
            subprocess.run(command, check=True)
            library = str(ROOT / ".build-wheel" / "release" / "libattention.so")
        target = Path(self.build_lib) / "swift_attention"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy2(library, target / "libattention.so")


class Wheel(bdist_wheel):
    """A wheel of this platform for any Python 3."""

    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setup(cmdclass={"build_py": Build, "bdist_wheel": Wheel})
