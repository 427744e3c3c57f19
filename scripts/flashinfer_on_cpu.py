"""A pytest plug-in that runs FlashInfer's own tests over swift_attention on CPU tensors.

Tests name CUDA devices; here these mean the CPU. Names of FlashInfer's that this interface does not
have skip the test that calls them, and say which. Used by scripts/flashinfer_tests.py.
"""

import contextlib
import importlib.abc
import importlib.machinery
import json
import os
import signal
import sys
import types

import pytest
import torch
from torch.overrides import TorchFunctionMode

import swift_attention

_CPU = torch.device("cpu")
_seconds = int(os.environ.get("FLASHINFER_TEST_SECONDS", "60"))
_cases = os.environ.get("FLASHINFER_TEST_CASES")
_results = os.environ.get("FLASHINFER_TEST_RESULTS")


class _Absent:
    """A name that the interface does not have."""

    def __init__(self, name):
        self.__name__ = self.__qualname__ = self.name = name
        self.__module__ = name.rpartition(".")[0]

    def __call__(self, *arguments, **options):
        if self.name.rpartition(".")[2].startswith(("is_", "has_")):
            return False
        if _OnCPU.is_running:
            pytest.skip(f"absent: {self.name}")
        raise NotImplementedError(f"absent: {self.name}")

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent(f"{self.name}.{name}")

    def __getitem__(self, key):
        return _Absent(f"{self.name}[{key}]")

    def __mro_entries__(self, bases):
        return (object,)

    def __or__(self, other):
        return object

    __ror__ = __or__


def _let_names_be_absent(module, name):
    known = getattr(module, "__getattr__", None)

    def get(attribute):
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        if known is not None and not attribute.startswith("gen_"):
            with contextlib.suppress(AttributeError):
                return known(attribute)
        return _Absent(f"{name}.{attribute}")

    module.__getattr__ = get


class _AbsentModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Modules of FlashInfer's that the interface does not have."""

    def find_spec(self, name, path, target=None):
        if name.startswith("flashinfer.") and name != "flashinfer.moe_ep":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        _let_names_be_absent(module, spec.name)
        return module

    def exec_module(self, module):
        pass


def _is_cuda(x):
    return isinstance(x, str) and x.startswith("cuda") or isinstance(x, torch.device) and x.type == "cuda"


class _OnCPU(TorchFunctionMode):
    """CUDA devices mean the CPU."""

    is_running = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.cuda:
            return args[0]
        device = kwargs.get("device")
        if device is not None and (_is_cuda(device) or isinstance(device, int)):
            kwargs["device"] = _CPU
        if any(_is_cuda(x) for x in args):
            args = tuple(_CPU if _is_cuda(x) else x for x in args)
        if func is torch.Tensor.to and len(args) > 1 and type(args[1]) is int:
            args = (args[0], _CPU, *args[2:])
        kwargs.pop("pin_memory", None)
        return func(*args, **kwargs)


class _Graph:
    """What a captured graph replays: the same runs over the same memory, under the plan of the day."""

    recording = None

    def __init__(self, *arguments, **options):
        self.runs = []

    def replay(self):
        for plan, arguments in self.runs:
            plan.run(*arguments)

    def reset(self):
        self.runs.clear()


@contextlib.contextmanager
def _capture(graph, *arguments, **options):
    _Graph.recording = graph
    try:
        yield
    finally:
        _Graph.recording = None


_run = swift_attention.Plan.run


def _recorded_run(plan, *arguments):
    if _Graph.recording is not None:
        _Graph.recording.runs.append((plan, arguments))
    return _run(plan, *arguments)


class _Generator(torch.Generator):
    """Generators of CUDA devices mean the CPU's."""

    def __new__(cls, device="cpu"):
        return super().__new__(cls, "cpu")


def _map_devices():
    import torch._dynamo  # noqa: F401  (before names that it reads are replaced)

    torch.Generator = _Generator
    swift_attention.Plan.run = _recorded_run
    torch.set_default_device = lambda device: None
    torch.Tensor.pin_memory = lambda self, device=None: self
    cuda = torch.cuda
    cuda.is_available = lambda: True
    cuda.device_count = lambda: 1
    cuda.current_device = lambda: 0
    cuda.get_device_capability = lambda device=None: (8, 0)
    cuda.get_device_name = lambda device=None: "CPU"
    cuda.get_device_properties = lambda device=None: types.SimpleNamespace(
        multi_processor_count=2, total_memory=1 << 33, major=8, minor=0, name="CPU"
    )
    cuda.mem_get_info = lambda device=None: (1 << 33, 1 << 33)
    for name in ("synchronize", "empty_cache", "manual_seed", "manual_seed_all", "set_device"):
        setattr(cuda, name, lambda *arguments, **options: None)
    cuda.device = lambda device: contextlib.nullcontext()
    stream = types.SimpleNamespace(
        synchronize=lambda: None, wait_stream=lambda other: None, cuda_stream=0
    )
    cuda.Stream = cuda.current_stream = lambda *arguments, **options: stream
    cuda.stream = lambda stream: contextlib.nullcontext()
    cuda.CUDAGraph, cuda.graph = _Graph, _capture


_map_devices()
swift_attention.install_as_flashinfer()
sys.meta_path.append(_AbsentModules())
for _name, _module in list(sys.modules.items()):
    if _name == "flashinfer" or _name.startswith("flashinfer."):
        _let_names_be_absent(_module, _name)
        if not hasattr(_module, "__path__"):
            _module.__path__ = []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keeps the chosen cases, in their order."""
    for module in {item.module for item in items if item.module.__name__.endswith("test_activation")}:
        # Asked there only for programmatic dependent launch, which Hopper brought.
        module.get_compute_capability = lambda device: (9, 0)
    if _cases:
        with open(_cases) as file:
            order = {name: i for i, name in enumerate(file.read().splitlines())}
        items[:] = sorted(
            (item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid]
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    def too_slow(number, frame):
        raise TimeoutError(f"more than {_seconds} seconds")

    signal.signal(signal.SIGALRM, too_slow)
    signal.alarm(_seconds)
    try:
        _OnCPU.is_running = True
        with _OnCPU():
            return (yield)
    finally:
        _OnCPU.is_running = False
        signal.alarm(0)


def pytest_runtest_logreport(report):
    if not _results or report.when == "teardown" or report.when == "setup" and report.passed:
        return
    reason = ""
    if report.skipped:
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    elif report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = crash.message if crash else str(report.longrepr)
    with open(_results, "a") as file:
        entry = {
            "test": report.nodeid,
            "outcome": report.outcome,
            "reason": reason[:600],
            "seconds": round(report.duration, 2),
        }
        file.write(json.dumps(entry) + "\n")
