// Root Mean Square Layer Normalization (arXiv 1910.07467) and Layer Normalization (arXiv
// 1607.06450): a block for each row, or each head of a row.
extension CUDAOperators {
  var rmsNorm: String {
    """
    // y = x / √(mean(x²) + ε) · (offset + weight); x and y may be the same.
    __device__ inline void normalise(
        const Stored* x, const float* weight, float offset, float epsilon, Element* y, int width,
        void* memory) {
      float squares = 0.f;
      for (int d = threadIdx.x; d < width; d += blockDim.x) {
        const float value = load(x + d);
        squares += value * value;
      }
      const float factor = rsqrtf(block_sum(squares, memory) / width + epsilon);
      for (int d = threadIdx.x; d < width; d += blockDim.x)
        store(y + d, load(x + d) * factor * (offset + weight[d]));
    }
    \(kernel("rms_norm", """
      const Stored* x, long long xStride, const float* weight, float offset, float epsilon,
      Element* y, long long yStride, int heads, int width, int rows
      """)) {
      SHARED_MEMORY(memory);
      for (long long i = blockIdx.x; i < (long long)rows * heads; i += gridDim.x) {
        const long long row = i / heads, column = i % heads * width;
        normalise(x + row * xStride + column, weight, offset, epsilon, y + row * yStride + column,
            width, memory);
      }
    }
    """
  }

  var addRMSNorm: String {
    """
    \(kernel("add_rms_norm", """
      const Element* delta, long long deltaStride, Stored* residual, long long residualStride,
      const float* weight, float offset, float epsilon, Element* y, long long yStride, int width,
      int rows
      """)) {
      SHARED_MEMORY(memory);
      for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        Stored* sum = residual + row * residualStride;
        for (int d = threadIdx.x; d < width; d += blockDim.x)
          store(sum + d, load(sum + d) + load(delta + row * deltaStride + d));
        normalise(sum, weight, offset, epsilon, y + row * yStride, width, memory);
      }
    }
    """
  }

  var layerNorm: String {
    """
    \(kernel("layer_norm", """
      const Element* x, long long xStride, const float* weight, const float* bias, float epsilon,
      Element* y, long long yStride, int width, int rows
      """)) {
      SHARED_MEMORY(memory);
      for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const Element* from = x + row * xStride;
        float sum = 0.f, squares = 0.f;
        for (int d = threadIdx.x; d < width; d += blockDim.x) sum += load(from + d);
        const float mean = block_sum(sum, memory) / width;
        for (int d = threadIdx.x; d < width; d += blockDim.x) {
          const float value = load(from + d) - mean;
          squares += value * value;
        }
        const float factor = rsqrtf(block_sum(squares, memory) / width + epsilon);
        for (int d = threadIdx.x; d < width; d += blockDim.x)
          store(y + row * yStride + d,
              (load(from + d) - mean) * factor * weight[d] + (bias ? bias[d] : 0.f));
      }
    }
    """
  }

  /// RMSNorm of rows, or of each of a row's heads.
  ///
  /// - Parameters:
  ///   - x: Tokens × (heads · width), of the stored type.
  ///   - weight: `width` floats.
  ///   - offset: Added to weights: 1 where they are stored less 1, as Gemma's.
  ///   - heads: Equal parts of a row that are normalised each on its own.
  ///   - y: Of the shape of `x`; may be `x` where the types are the same.
  public func rmsNorm(
    _ x: CUDAMatrix, weight: CUDAAddress, offset: Float = 0, epsilon: Float, heads: Int = 1,
    into y: CUDAMatrix
  ) -> CUDALaunch {
    CUDALaunch(
      "rms_norm", blocks: Self.blocks(x.rows * heads),
      [
        .address(x.base), .long(x.stride), .address(weight), .float(offset), .float(epsilon),
        .address(y.base), .long(y.stride), .int(heads), .int(x.columns / max(heads, 1)),
        .int(x.rows),
      ])
  }

  /// residual += delta, y = RMSNorm(residual); the residual is of the stored type.
  public func fusedAddRMSNorm(
    _ delta: CUDAMatrix, residual: CUDAMatrix, weight: CUDAAddress, offset: Float = 0,
    epsilon: Float, into y: CUDAMatrix
  ) -> CUDALaunch {
    CUDALaunch(
      "add_rms_norm", blocks: Self.blocks(y.rows),
      [
        .address(delta.base), .long(delta.stride), .address(residual.base), .long(residual.stride),
        .address(weight), .float(offset), .float(epsilon), .address(y.base), .long(y.stride),
        .int(y.columns), .int(y.rows),
      ])
  }

  /// LayerNorm of rows; `bias` may be absent.
  public func layerNorm(
    _ x: CUDAMatrix, weight: CUDAAddress, bias: CUDAAddress = .none, epsilon: Float,
    into y: CUDAMatrix
  ) -> CUDALaunch {
    CUDALaunch(
      "layer_norm", blocks: Self.blocks(x.rows),
      [
        .address(x.base), .long(x.stride), .address(weight), .address(bias), .float(epsilon),
        .address(y.base), .long(y.stride), .int(x.columns), .int(x.rows),
      ])
  }
}
