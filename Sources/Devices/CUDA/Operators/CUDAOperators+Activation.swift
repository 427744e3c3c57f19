// GLU variants (arXiv 2002.05202) and GELU (arXiv 1606.08415), element by element.
extension CUDAOperators {
  /// The functions, and the names of the kernels.
  var activations: ([String], [String]) {
    let functions = [
      ("silu", "x / (1.f + expf(-x))"),
      ("gelu_tanh", "0.5f * x * (1.f + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)))"),
      ("gelu", "0.5f * x * (1.f + erff(x * 0.7071067812f))"),
    ]
    let gated = functions.map { name, formula in
      """
      __device__ inline float \(name)_of(float x) { return \(formula); }
      \(kernel("\(name)_and_multiply", """
        const Element* gate, long long gateStride, const Element* up, long long upStride,
        Element* y, long long yStride, int columns, int rows
        """)) {
        for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
             i < (long long)rows * columns; i += (long long)gridDim.x * blockDim.x) {
          const long long row = i / columns, column = i % columns;
          store(y + row * yStride + column,
              \(name)_of(load(gate + row * gateStride + column)) * load(up + row * upStride + column));
        }
      }
      """
    }
    let plain = """
      \(kernel("gelu", """
        const Element* x, long long xStride, Element* y, long long yStride, int columns, int rows
        """)) {
        for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
             i < (long long)rows * columns; i += (long long)gridDim.x * blockDim.x) {
          const long long row = i / columns, column = i % columns;
          store(y + row * yStride + column, gelu_of(load(x + row * xStride + column)));
        }
      }
      """
    return (gated + [plain], functions.map { "\($0.0)_and_multiply" } + ["gelu"])
  }

  /// Gates by SiLU: y = gate / (1 + e^−gate) · up.
  ///
  /// `y` may be `gate` or `up`.
  public func siluAndMultiply(_ gate: CUDAMatrix, _ up: CUDAMatrix, into y: CUDAMatrix)
    -> CUDALaunch
  {
    gated("silu_and_multiply", gate, up, y)
  }

  /// Gates by the tanh form of GELU.
  ///
  /// `y` may be `gate` or `up`.
  public func geluTanhAndMultiply(_ gate: CUDAMatrix, _ up: CUDAMatrix, into y: CUDAMatrix)
    -> CUDALaunch
  {
    gated("gelu_tanh_and_multiply", gate, up, y)
  }

  /// Gates by the exact GELU: y = gate·Φ(gate) · up.
  ///
  /// `y` may be `gate` or `up`.
  public func geluAndMultiply(_ gate: CUDAMatrix, _ up: CUDAMatrix, into y: CUDAMatrix)
    -> CUDALaunch
  {
    gated("gelu_and_multiply", gate, up, y)
  }

  /// The exact GELU, y = x·Φ(x).
  ///
  /// `y` may be `x`.
  public func gelu(_ x: CUDAMatrix, into y: CUDAMatrix) -> CUDALaunch {
    CUDALaunch(
      "gelu", blocks: Self.blocks(elements: y.rows * y.columns),
      [
        .address(x.base), .long(x.stride), .address(y.base), .long(y.stride), .int(y.columns),
        .int(y.rows),
      ])
  }

  private func gated(_ name: String, _ gate: CUDAMatrix, _ up: CUDAMatrix, _ y: CUDAMatrix)
    -> CUDALaunch
  {
    CUDALaunch(
      name, blocks: Self.blocks(elements: y.rows * y.columns),
      [
        .address(gate.base), .long(gate.stride), .address(up.base), .long(up.stride),
        .address(y.base), .long(y.stride), .int(y.columns), .int(y.rows),
      ])
  }
}
