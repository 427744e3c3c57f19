#!/usr/bin/env python3
"""Runs an x86-64 Linux program on an emulated processor, one with AVX-512 for example.

The processor is Bochs' (Python package bochscpu-python); the few system calls that a small static
program needs are answered here. One thread, no signals, no writing of files, 1 GiB of memory.

  cc -O2 -static -o probe probe.c
  scripts/emulate.py probe [argument ...]     # prints what it prints, exits as it exits
  scripts/emulate.py --cpu skylake_x probe    # sapphire_rapids (default), tigerlake, skylake_x,
                                              # haswell, ivy_bridge, penryn
  scripts/emulate.py --cpuid                  # the instruction sets that the processor reports

On first use the package is installed into a virtual environment of its own, venv-emulate in
$XDG_CACHE_HOME/swift-attention (~/.cache/swift-attention). Environment variables named ATTENTION_*
reach the program. EMULATE_TRACE=1 prints its system calls. After a fault the exit status is 128 +
the signal. The emulator does not know gathers whose index is in zmm16 to zmm31: compile with
clang's -mno-gather -mno-scatter.
"""

import ctypes
import errno
import mmap
import os
import struct
import sys
import time

from bochs import CPU_MODELS, bochscpu, choose_cpu

PAGE = 4096
MEMORY = 1 << 30
KERNEL = 0x1000  # the system-call stub, then the page tables; the first 2 MiB are not the user's
PML4, PDPT, PD = 0x2000, 0x3000, 0x4000
PIE_BASE = 0x0800_0000
MMAP_BASE = 0x1000_0000
STACK_TOP = MEMORY - (1 << 20)
# String instructions are emulated byte by byte: memset and memcpy do better with vectors.
TUNABLES = (
    "GLIBC_TUNABLES=glibc.cpu.x86_rep_stosb_threshold=1073741824"
    ":glibc.cpu.x86_rep_movsb_threshold=1073741824"
)
XCR0 = 0xE7  # x87, SSE, AVX, opmask, upper halves of ZMM 0-15, ZMM 16-31

CPUID_BITS = {  # leaf, subleaf, register (0-3 = eax, ebx, ecx, edx), bit
    "avx2": (7, 0, 1, 5), "fma": (1, 0, 2, 12), "f16c": (1, 0, 2, 29),
    "avx512f": (7, 0, 1, 16), "avx512dq": (7, 0, 1, 17), "avx512cd": (7, 0, 1, 28),
    "avx512bw": (7, 0, 1, 30), "avx512vl": (7, 0, 1, 31), "avx512vbmi": (7, 0, 2, 1),
    "avx512vbmi2": (7, 0, 2, 6), "avx512vnni": (7, 0, 2, 11), "avx512bitalg": (7, 0, 2, 12),
    "avx512fp16": (7, 0, 3, 23), "amx-bf16": (7, 0, 3, 22), "amx-int8": (7, 0, 3, 25),
    "avxvnni": (7, 1, 0, 4), "avx512bf16": (7, 1, 0, 5),
}


class Guest:
    """One address space (virtual = physical, 2 MiB pages) and the program in it."""

    def __init__(self):
        self.block = mmap.mmap(-1, MEMORY, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.block))
        self.break_start = self.break_end = 0
        self.mmap_next = MMAP_BASE
        self.exit_code = None
        self.files = {}
        output = os.fstat(1)
        self.output = (output.st_dev, output.st_ino)
        self.session = bochscpu.Session()
        self.session.missing_page_handler = self.provide_page
        self.trace = "EMULATE_TRACE" in os.environ

    # Memory

    def provide_page(self, physical):
        page = physical & ~(PAGE - 1)
        if page < MEMORY:
            bochscpu.memory.page_insert(page, self.address + page)
        else:
            sys.exit(f"emulate: no memory at physical address {physical:#x}")

    def write(self, address, data):
        self.block[address : address + len(data)] = data

    def read(self, address, count):
        return self.block[address : address + count]

    def read_string(self, address):
        return self.block[address : self.block.find(b"\0", address)]

    def build_page_tables(self):
        user = 0b111  # present, writable, user
        self.write(PML4, struct.pack("<Q", PDPT | user))
        self.write(PDPT, struct.pack("<Q", PD | user))
        for index in range(MEMORY >> 21):  # entry 0 is the supervisor's: a null pointer faults
            bits = 0b1000_0011 if index == 0 else 0b1000_0111
            self.write(PD + 8 * index, struct.pack("<Q", index << 21 | bits))
        self.write(KERNEL, b"\x0f\x09\x48\x0f\x07")  # wbinvd, which has a hook; sysretq

    # Loading

    def load(self, path, arguments):
        stack = f"{STACK_TOP - (8 << 20):x}-{STACK_TOP:x} rw-p 00000000 00:00 0 [stack]\n"
        self.own_files = {  # Swift finds its arguments in the stack that the second one names
            b"/proc/self/cmdline": b"".join(os.fsencode(a) + b"\0" for a in [path, *arguments]),
            b"/proc/self/maps": stack.encode(),
        }
        self.program = os.fsencode(os.path.abspath(path))
        with open(path, "rb") as file:
            image = file.read()
        if image[:5] != b"\x7fELF\x02":
            sys.exit(f"emulate: {path} is no 64-bit ELF file")
        kind, machine, _, entry, header_offset = struct.unpack_from("<HHIQQ", image, 16)
        size, count = struct.unpack_from("<HH", image, 54)
        if machine != 62:
            sys.exit(f"emulate: {path} is no x86-64 program")
        base = PIE_BASE if kind == 3 else 0
        end = 0
        headers = 0
        for index in range(count):
            (segment, _, offset, virtual, _, in_file, in_memory, _) = struct.unpack_from(
                "<IIQQQQQQ", image, header_offset + index * size)
            if segment == 3:
                sys.exit(f"emulate: {path} is linked dynamically; link it with -static")
            if segment == 1:
                self.write(base + virtual, image[offset : offset + in_file])
                end = max(end, base + virtual + in_memory)
                if offset <= header_offset < offset + in_file:
                    headers = base + virtual + header_offset - offset
        self.break_start = self.break_end = (end + PAGE - 1) & ~(PAGE - 1)
        stack = self.build_stack(path, arguments, headers, size, count, base + entry)
        return base + entry, stack

    def build_stack(self, path, arguments, headers, size, count, entry):
        top = STACK_TOP

        def push(data):
            nonlocal top
            top -= len(data)
            self.write(top, data)
            return top

        name = push(os.fsencode(path) + b"\0")
        random = push(bytes(range(16)))
        argv = [push(os.fsencode(a) + b"\0") for a in [path, *arguments]]
        kept = [f"{k}={v}" for k, v in os.environ.items() if k.startswith("ATTENTION_")]
        kept.append(TUNABLES)
        envp = [push(os.fsencode(e) + b"\0") for e in kept]
        auxiliary = [3, headers, 4, size, 5, count, 6, PAGE, 9, entry, 11, 0, 12, 0, 13, 0, 14, 0,
                     23, 0, 25, random, 31, name, 17, 100, 16, 0x178BFBFF, 0, 0]
        words = [len(argv), *argv, 0, *envp, 0, *auxiliary]
        top = (top - 8 * len(words)) & ~15
        self.write(top, struct.pack(f"<{len(words)}Q", *words))
        return top

    # Running

    def run(self, entry, stack):
        self.build_page_tables()
        state = bochscpu.State()
        bochscpu.cpu.set_long_mode(state)
        state.cr3 = PML4
        state.cr0 = 0x8005_0033
        state.cr4 = 0x0005_06B0 | 1 << 16  # PAE, OSFXSR, OSXMMEXCPT, OSXSAVE, FSGSBASE
        state.xcr0 = XCR0
        state.rip, state.rsp, state.rflags = entry, stack, 0x202
        state.lstar, state.sfmask = KERNEL, 0x200
        state.star = 0x0023 << 48 | 0x0010 << 32
        state.mxcsr, state.mxcsr_mask = 0x1F80, 0xFFFF
        state.fpcw, state.fptw = 0x37F, 0
        for name, selector, attributes in (
            ("cs", 0x33, 0xA0FB), ("ss", 0x2B, 0xC0F3), ("ds", 0x2B, 0xC0F3),
            ("es", 0x2B, 0xC0F3), ("fs", 0, 0xC0F3), ("gs", 0, 0xC0F3),
            ("tr", 0x40, 0x008B), ("ldtr", 0, 0x0082),
        ):
            segment = bochscpu.Segment()
            segment.base, segment.limit = 0, 0xFFFF_FFFF
            segment.selector, segment.attr, segment.present = selector, attributes, True
            setattr(state, name, segment)
        self.session.cpu.state = state
        hook = bochscpu.Hook()
        hook.cache_cntrl = self.on_system_call
        hook.exception = self.on_exception
        self.session.run([hook])
        sys.stdout.flush()
        return 1 if self.exit_code is None else self.exit_code

    def stop(self, code):
        self.exit_code = code
        self.session.stop()

    def on_exception(self, session, cpu, vector, error):
        names = {0: "divide error", 3: "breakpoint", 6: "invalid opcode", 13: "general protection",
                 14: "page fault", 19: "floating point"}
        place = session.cpu.rip
        detail = f", address {session.cpu.cr2:#x}" if vector == 14 else ""
        print(f"emulate: {names.get(vector, vector)} by the instruction before {place:#x}{detail}",
              file=sys.stderr)
        self.stop(128 + {0: 8, 3: 5, 6: 4, 19: 8}.get(vector, 11))

    def on_system_call(self, session, *_):
        cpu = session.cpu
        number = cpu.rax
        values = (cpu.rdi, cpu.rsi, cpu.rdx, cpu.r10, cpu.r8, cpu.r9)
        result = self.system_call(cpu, number, values)
        if self.trace:
            print(f"emulate: call {number} {[hex(v) for v in values]} = {result}", file=sys.stderr)
        cpu.rax = result & 0xFFFF_FFFF_FFFF_FFFF

    # System calls

    def system_call(self, cpu, number, values):
        handler = self.HANDLERS.get(number)
        if handler is None:
            return 0 if number in self.IGNORED else -errno.ENOSYS
        try:
            return handler(self, cpu, *values)
        except OSError as error:
            return -error.errno

    def sys_read(self, cpu, fd, address, count, *_):
        data = os.read(self.files.get(fd, fd), count)
        self.write(address, data)
        return len(data)

    def sys_write(self, cpu, fd, address, count, *_):
        return os.write(self.files.get(fd, fd), self.read(address, count))

    def sys_writev(self, cpu, fd, vectors, count, *_):
        total = 0
        for index in range(count):
            address, length = struct.unpack("<QQ", self.read(vectors + 16 * index, 16))
            total += self.sys_write(cpu, fd, address, length)
        return total

    def sys_openat(self, cpu, folder, path, flags, *_):
        if flags & 3:
            return -errno.EACCES
        name = self.read_string(path)
        if name in self.own_files:
            fd = os.memfd_create("emulated")
            os.pwrite(fd, self.own_files[name], 0)
        else:
            fd = os.open(name, os.O_RDONLY)
        self.files[fd] = fd
        return fd

    def sys_readlink(self, cpu, path, buffer, count, *_):
        name = self.read_string(path)
        target = self.program if name == b"/proc/self/exe" else os.readlink(name)
        self.write(buffer, target[:count])
        return min(len(target), count)

    def sys_readlinkat(self, cpu, folder, path, buffer, count, *_):
        return self.sys_readlink(cpu, path, buffer, count)

    def sys_close(self, cpu, fd, *_):
        if self.files.pop(fd, None) is not None:
            os.close(fd)
        return 0

    def sys_lseek(self, cpu, fd, offset, whence, *_):
        return os.lseek(fd, offset - (1 << 64 if offset >> 63 else 0), whence)

    def sys_fstatat(self, cpu, folder, path, buffer, flags, *_):
        name = self.read_string(path)
        return self.put_stat(os.fstat(folder) if not name else os.stat(name), buffer)

    def sys_fstat(self, cpu, fd, buffer, *_):
        return self.put_stat(os.fstat(fd), buffer)

    def put_stat(self, s, buffer):
        mode = s.st_mode
        if (s.st_dev, s.st_ino) == self.output:
            mode = 0o020620  # a terminal, so that the program's lines are written at once
        self.write(buffer, struct.pack("<QQQIIIIQqqq", s.st_dev, s.st_ino, s.st_nlink, mode,
                                       s.st_uid, s.st_gid, 0, s.st_rdev, s.st_size, 4096,
                                       s.st_size // 512).ljust(144, b"\0"))
        return 0

    def sys_ioctl(self, cpu, fd, request, *_):
        return 0 if fd == 1 and request == 0x5401 else -errno.ENOTTY  # TCGETS

    def sys_mmap(self, cpu, hint, length, protection, flags, fd, offset):
        fixed = flags & 0x10
        address = hint if fixed else self.mmap_next
        length = (length + PAGE - 1) & ~(PAGE - 1)
        if address < 1 << 21 or address + length > STACK_TOP - (16 << 20):
            return -errno.ENOMEM
        if not fixed:
            self.mmap_next += length + PAGE
        if fixed or not flags & 0x20:
            self.write(address, bytes(length))
        if not flags & 0x20:
            self.write(address, os.pread(fd, length, offset))
        return address

    def sys_brk(self, cpu, wanted, *_):
        if self.break_start <= wanted < PIE_BASE * 2:
            self.break_end = wanted
        return self.break_end

    def sys_arch_prctl(self, cpu, code, address, *_):
        if code != 0x1002:  # ARCH_SET_FS
            return -errno.EINVAL
        segment = cpu.fs
        segment.base = address
        cpu.fs = segment
        return 0

    def sys_uname(self, cpu, buffer, *_):
        fields = (b"Linux", b"emulated", b"6.1.0", b"#1", b"x86_64", b"")
        self.write(buffer, b"".join(field.ljust(65, b"\0") for field in fields))
        return 0

    def sys_clock_gettime(self, cpu, clock, buffer, *_):
        now = time.time_ns() if clock == 0 else time.monotonic_ns()
        self.write(buffer, struct.pack("<QQ", *divmod(now, 1_000_000_000)))
        return 0

    def sys_clock_getres(self, cpu, clock, buffer, *_):
        if buffer:
            self.write(buffer, struct.pack("<QQ", 0, 1))
        return 0

    def sys_getrandom(self, cpu, buffer, count, *_):
        self.write(buffer, os.urandom(count))
        return count

    def sys_prlimit(self, cpu, process, resource, new, old, *_):
        if old:
            self.write(old, struct.pack("<QQ", 8 << 20, 8 << 20))
        return 0

    def sys_sched_getaffinity(self, cpu, process, size, mask, *_):
        self.write(mask, struct.pack("<Q", 1))
        return 8

    def sys_exit(self, cpu, code, *_):
        self.stop(code & 0xFF)
        return 0

    def sys_tgkill(self, cpu, group, thread, signal, *_):
        print(f"emulate: the program sent itself signal {signal}", file=sys.stderr)
        self.stop(128 + signal)
        return 0

    HANDLERS = {
        0: sys_read, 1: sys_write, 3: sys_close, 5: sys_fstat, 8: sys_lseek, 9: sys_mmap,
        12: sys_brk, 16: sys_ioctl, 20: sys_writev, 39: lambda *_: 1, 60: sys_exit,
        63: sys_uname, 89: sys_readlink, 158: sys_arch_prctl, 186: lambda *_: 1,
        204: sys_sched_getaffinity, 218: lambda *_: 1, 228: sys_clock_gettime,
        229: sys_clock_getres, 231: sys_exit,
        234: sys_tgkill, 257: sys_openat, 262: sys_fstatat, 267: sys_readlinkat,
        302: sys_prlimit, 318: sys_getrandom,
    }
    # mprotect, munmap, rt_sigaction, rt_sigprocmask, sched_yield, madvise, sigaltstack, futex,
    # set_robust_list
    IGNORED = {10, 11, 13, 14, 24, 28, 131, 202, 273}


def report_cpuid():
    """Runs CPUID for every leaf wanted, by a program assembled here."""
    guest = Guest()
    leaves = sorted({entry[:2] for entry in CPUID_BITS.values()})
    code, target = b"", PIE_BASE + 0x10000
    for leaf, subleaf in leaves:  # mov eax; mov ecx; cpuid; mov edi, target; four stores
        code += b"\xb8" + struct.pack("<I", leaf) + b"\xb9" + struct.pack("<I", subleaf)
        code += b"\x0f\xa2\xbf" + struct.pack("<I", target)
        code += b"\x89\x07\x89\x5f\x04\x89\x4f\x08\x89\x57\x0c"
        target += 16
    code += b"\xb8\xe7\x00\x00\x00\x31\xff\x0f\x05"  # exit_group(0)
    guest.write(PIE_BASE, code)
    if guest.run(PIE_BASE, STACK_TOP) != 0:
        return 1
    words = {}
    for index, key in enumerate(leaves):
        words[key] = struct.unpack("<4I", guest.read(PIE_BASE + 0x10000 + 16 * index, 16))
    for name, (leaf, subleaf, register, bit) in CPUID_BITS.items():
        print(f"{name:14}{words[leaf, subleaf][register] >> bit & 1}")
    return 0


def main():
    arguments = sys.argv[1:]
    model = "sapphire_rapids"
    if arguments[:1] == ["--cpu"] and len(arguments) > 1:
        model, arguments = arguments[1], arguments[2:]
    if not arguments or arguments[0] in ("-h", "--help") or model not in CPU_MODELS:
        print(__doc__)
        return 2
    choose_cpu(model)
    if arguments[0] == "--cpuid":
        return report_cpuid()
    guest = Guest()
    return guest.run(*guest.load(arguments[0], arguments[1:]))


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the emulator's own clean-up is not to be trusted
