#!/usr/bin/env python3
"""Linear layers of oneDNN (through PyTorch, bf16) and of ggml (through xllamacpp, Q8_0 and Q4_0).

The shapes, and that weights come from memory, are those of `attn bench linear`: as many matrices of
N × K as --working-set holds take turns. ggml computes them in one graph, as a model's layers, and
takes its repacked weights where it has them for the type.

  scripts/bench_linear_peers.py --threads 2 --json

Packages: torch==2.13.0+cpu, xllamacpp, numpy.
"""

import argparse
import ctypes
import importlib.metadata
import json
import sys

from peer_timing import timed


def onednn(options):
    import torch

    torch.set_num_threads(options.threads)
    if not torch.backends.mkldnn.is_available():
        sys.exit("bench: this PyTorch has no oneDNN")
    n, k = options.outputs, options.inputs
    count = max(options.working_set * 2**20 // (2 * n * k), 1)
    layers = [torch.randn(n, k, dtype=torch.bfloat16) for _ in range(count)]
    # Weights in oneDNN's own blocked form, as inference uses it.
    version = f"oneDNN of torch {torch.__version__}"
    for m in options.rows:
        x = torch.randn(m, k, dtype=torch.bfloat16)
        packed = [torch.ops.mkldnn._reorder_linear_weight(w, m) for w in layers]

        def plain():
            for w in layers:
                torch.nn.functional.linear(x, w)

        def blocked():
            for w in packed:
                torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], "")

        with torch.inference_mode():
            seconds = min(timed(plain, options.budget), timed(blocked, options.budget)) / count
        yield {"peer": version, "type": "BF16", "rows": m, "seconds": seconds}


class Ggml:
    """The functions of ggml that one product needs."""

    TYPES = {"BF16": 30, "Q8_0": 8, "Q4_0": 2}

    Log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)

    class Parameters(ctypes.Structure):
        _fields_ = [("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p),
                    ("no_alloc", ctypes.c_bool)]

    def __init__(self, threads):
        from xllamacpp import xllamacpp

        self.c = ctypes.CDLL(xllamacpp.__file__)
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        for name, result, *arguments in (
            ("ggml_log_set", None, self.Log, pointer),
            ("ggml_init", pointer, self.Parameters),
            ("ggml_free", None, pointer),
            ("ggml_new_tensor_2d", pointer, pointer, ctypes.c_int, integer, integer),
            ("ggml_mul_mat", pointer, pointer, pointer, pointer),
            ("ggml_new_graph", pointer, pointer),
            ("ggml_build_forward_expand", None, pointer, pointer),
            ("ggml_row_size", ctypes.c_size_t, ctypes.c_int, integer),
            ("ggml_quantize_chunk", ctypes.c_size_t, ctypes.c_int, pointer, pointer, integer,
             integer, integer, pointer),
            ("ggml_backend_cpu_init", pointer),
            ("ggml_backend_cpu_set_n_threads", None, pointer, ctypes.c_int),
            ("ggml_backend_alloc_ctx_tensors", pointer, pointer, pointer),
            ("ggml_backend_alloc_ctx_tensors_from_buft", pointer, pointer, pointer),
            ("ggml_backend_tensor_set", None, pointer, pointer, ctypes.c_size_t,
             ctypes.c_size_t),
            ("ggml_backend_graph_compute", ctypes.c_int, pointer, pointer),
            ("ggml_backend_buffer_free", None, pointer),
            ("ggml_backend_dev_by_type", pointer, ctypes.c_int),
            ("ggml_backend_dev_supports_op", ctypes.c_bool, pointer, pointer),
            ("ggml_backend_dev_backend_reg", pointer, pointer),
            ("ggml_backend_reg_get_proc_address", pointer, pointer, ctypes.c_char_p),
        ):
            function = getattr(self.c, name)
            function.restype, function.argtypes = result, arguments
        self.silence = self.Log(lambda level, text, data: None)
        self.c.ggml_log_set(self.silence, None)
        self.backend = self.c.ggml_backend_cpu_init()
        self.c.ggml_backend_cpu_set_n_threads(self.backend, threads)

    def context(self):
        return self.c.ggml_init(self.Parameters(64 << 20, None, True))

    def extra_buffer_types(self):
        """Where weights are repacked, if anywhere."""
        device = self.c.ggml_backend_dev_by_type(0)
        if not device:
            return []
        registry = self.c.ggml_backend_dev_backend_reg(device)
        address = self.c.ggml_backend_reg_get_proc_address(
            registry, b"ggml_backend_dev_get_extra_bufts")
        if not address:
            return []
        function = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)(address)
        types, result = function(device), []
        while types and types[len(result)]:
            result.append(types[len(result)])
        return result

    def supports(self, context, weight, k):
        """Whether weights in this kind of memory can be multiplied."""
        product = self.c.ggml_mul_mat(
            context, weight, self.c.ggml_new_tensor_2d(context, 0, k, 1))
        return self.c.ggml_backend_dev_supports_op(self.c.ggml_backend_dev_by_type(0), product)

    def products(self, name, n, k, rows, count, budget, buffer_type):
        """Median seconds of one product for each number of rows; None where refused."""
        import numpy

        kind = self.TYPES[name]
        weights = self.context()
        tensors = [self.c.ggml_new_tensor_2d(weights, kind, k, n) for _ in range(count)]
        if buffer_type:
            held = self.c.ggml_backend_alloc_ctx_tensors_from_buft(weights, buffer_type)
        else:
            held = self.c.ggml_backend_alloc_ctx_tensors(weights, self.backend)
        if not held or not self.supports(weights, tensors[0], k):
            self.c.ggml_backend_buffer_free(held)
            self.c.ggml_free(weights)
            return None
        floats = numpy.random.default_rng(1).standard_normal((n, k), dtype=numpy.float32)
        size = self.c.ggml_row_size(kind, k) * n
        codes = ctypes.create_string_buffer(size)
        self.c.ggml_quantize_chunk(kind, floats.ctypes.data, codes, 0, n, k, None)
        for tensor in tensors:
            self.c.ggml_backend_tensor_set(tensor, codes, 0, size)
        result = []
        for m in rows:
            context = self.context()
            x = self.c.ggml_new_tensor_2d(context, 0, k, m)
            graph = self.c.ggml_new_graph(context)
            for tensor in tensors:
                product = self.c.ggml_mul_mat(context, tensor, x)
                self.c.ggml_build_forward_expand(graph, product)
            outputs = self.c.ggml_backend_alloc_ctx_tensors(context, self.backend)
            data = numpy.random.default_rng(2).standard_normal((m, k), dtype=numpy.float32)
            self.c.ggml_backend_tensor_set(x, data.ctypes.data, 0, data.nbytes)
            result.append(timed(
                lambda: self.c.ggml_backend_graph_compute(self.backend, graph), budget) / count)
            self.c.ggml_backend_buffer_free(outputs)
            self.c.ggml_free(context)
        self.c.ggml_backend_buffer_free(held)
        self.c.ggml_free(weights)
        return result


def ggml(options):
    library = Ggml(options.threads)
    version = f"ggml of xllamacpp {importlib.metadata.version('xllamacpp')}"
    n, k = options.outputs, options.inputs
    for name in options.types:
        size = library.c.ggml_row_size(library.TYPES[name], k) * n
        count = min(max(options.working_set * 2**20 // size, 1), 1000)
        best = None
        for buffer_type in [None] + library.extra_buffer_types():
            found = library.products(
                name, n, k, options.rows, count, options.budget, buffer_type)
            if found:
                best = [min(a, b) for a, b in zip(best, found)] if best else found
        for m, seconds in zip(options.rows, best):
            yield {"peer": version, "type": name, "rows": m, "seconds": seconds}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4, 32, 512])
    parser.add_argument("--outputs", type=int, default=2048)
    parser.add_argument("--inputs", type=int, default=2048)
    parser.add_argument("--working-set", type=int, default=256, help="MiB of weights")
    parser.add_argument("--budget", type=float, default=0.5, help="seconds of a measurement")
    parser.add_argument("--types", nargs="+", default=["Q8_0", "Q4_0"], help="of ggml")
    parser.add_argument("--peers", nargs="+", default=["onednn", "ggml"],
                        choices=["onednn", "ggml"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for peer in options.peers:
        for row in {"onednn": onednn, "ggml": ggml}[peer](options):
            row |= {"outputs": options.outputs, "inputs": options.inputs,
                    "threads": options.threads}
            operations = 2 * row["rows"] * row["outputs"] * row["inputs"]
            row["gigaflops_per_second"] = operations / row["seconds"] / 1e9
            rows.append(row)
            if not options.json:
                print(f"{row['peer']}, {row['type']}, M {row['rows']}: "
                      f"{row['gigaflops_per_second']:.1f} GFLOP/s", flush=True)
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
