// What layers leave is added to what flows past them, element by element.
extension CUDAOperators {
  var sums: String {
    """
    \(kernel("add", """
      const Element* x, long long xStride, Stored* y, long long yStride, int columns, int rows
      """)) {
      for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
           i < (long long)rows * columns; i += (long long)gridDim.x * blockDim.x) {
        const long long row = i / columns, column = i % columns;
        Stored* sum = y + row * yStride + column;
        store(sum, load(sum) + load(x + row * xStride + column));
      }
    }
    \(kernel("add_bias", """
      const float* bias, Element* y, long long yStride, int columns, int rows
      """)) {
      for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
           i < (long long)rows * columns; i += (long long)gridDim.x * blockDim.x) {
        const long long row = i / columns, column = i % columns;
        Element* sum = y + row * yStride + column;
        store(sum, load(sum) + bias[column]);
      }
    }
    """
  }

  /// y += x; `y` is of the stored type.
  public func add(_ x: CUDAMatrix, to y: CUDAMatrix) -> CUDALaunch {
    CUDALaunch(
      "add", blocks: Self.blocks(elements: y.rows * y.columns),
      [
        .address(x.base), .long(x.stride), .address(y.base), .long(y.stride), .int(y.columns),
        .int(y.rows),
      ])
  }

  /// Adds a bias, a float for each column, to every row.
  public func add(bias: CUDAAddress, to y: CUDAMatrix) -> CUDALaunch {
    CUDALaunch(
      "add_bias", blocks: Self.blocks(elements: y.rows * y.columns),
      [.address(bias), .address(y.base), .long(y.stride), .int(y.columns), .int(y.rows)])
  }
}
