"""Bochs' processor for emulate.py: its Python package installed, imported, and told which model to be."""

import ctypes
import fcntl
import mmap
import os
import shutil
import struct
import subprocess
import sys
import venv

PACKAGE = "bochscpu-python==0.4.0"


def environment_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache, "swift-attention", "venv-emulate")


def install(folder):
    """Makes the virtual environment with the emulator in it; the last step names it complete."""
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with open(folder + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(os.path.join(folder, "complete")):
            return
        print(f"emulate: installing {PACKAGE} into {folder}", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        python = os.path.join(folder, "bin", "python")
        subprocess.check_call(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE])
        # The package is built against a glibc that has the C23 names of some functions.
        compiler = os.environ.get("CC") or shutil.which("cc") or "clang"
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "emulate_isoc23.c")
        subprocess.check_call(
            [compiler, "-shared", "-fPIC", "-O1", source, "-o", os.path.join(folder, "isoc23.so")])
        open(os.path.join(folder, "complete"), "w").close()


def import_emulator():
    """The bochscpu package, in a new process of the virtual environment where need be."""
    folder = environment_folder()
    python = os.path.join(folder, "bin", "python")
    if "EMULATE_CHILD" not in os.environ:
        if not os.path.exists(os.path.join(folder, "complete")):
            install(folder)
        child = dict(os.environ, EMULATE_CHILD="1")
        libc = os.confstr("CS_GNU_LIBC_VERSION").split()[-1]  # "glibc 2.36"
        if tuple(int(part) for part in libc.split(".")[:2]) < (2, 38):
            child["LD_PRELOAD"] = os.path.join(folder, "isoc23.so")
        os.execve(python, [python, *sys.argv], child)
    import bochscpu
    import bochscpu.cpu
    import bochscpu.memory

    return bochscpu


bochscpu = import_emulator()

CPU_MODELS = {  # by the highest level that they have
    "sapphire_rapids": "create_sapphire_rapids_cpuid",  # AVX-512 with VNNI, BF16, FP16, and AMX
    "tigerlake": "create_tigerlake_cpuid",  # AVX-512 with VNNI, no BF16
    "skylake_x": "create_corei7_skylake_x_cpuid",  # AVX-512 F, CD, BW, DQ, VL
    "haswell": "create_corei7_haswell_4770_cpuid",  # AVX2 and FMA
    "ivy_bridge": "create_corei7_ivy_bridge_3770k_cpuid",  # AVX, F16C, no AVX2 and no FMA
    "penryn": "create_core2_penryn_t9600_cpuid",  # SSE4.1
}
DEFAULT_MODEL_FACTORY = "create_corei3_cnl_cpuid"  # the one model that the package builds


def choose_cpu(name):
    """Makes the package build that CPU model.

    The package has every model of Bochs in it, but no way to choose. So the first bytes of the
    default model's factory become a jump to the factory of the wanted one.
    """

    def symbol(function):  # C++: function(BX_CPU_C*)
        mangled = f"_Z{len(function)}{function}P8BX_CPU_C"
        return ctypes.cast(getattr(library, mangled), ctypes.c_void_p).value

    library = ctypes.CDLL(bochscpu._bochscpu.__file__)
    target, wanted = symbol(DEFAULT_MODEL_FACTORY), symbol(CPU_MODELS[name])
    jump = b"\x48\xb8" + struct.pack("<Q", wanted) + b"\xff\xe0"  # mov rax, wanted; jmp rax
    page = target & ~(mmap.PAGESIZE - 1)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    if libc.mprotect(page, 2 * mmap.PAGESIZE, 7) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    ctypes.memmove(target, jump, len(jump))
