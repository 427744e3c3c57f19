internal import CMicrokernels
package import Tensors

/// What a linear layer achieves beside what the machine can do.
package struct LinearMeasurement: Sendable {
  /// The stored type of the weights.
  package let type: ElementType
  /// Rows of activations, M.
  package let rows: Int
  /// Outputs, N.
  package let outputs: Int
  /// Inputs, K.
  package let inputs: Int
  /// Seconds of one product, the median of all.
  package let seconds: Double
  /// Bytes of packed weights.
  package let weightBytes: Int

  /// Weights read per second, in bytes.
  package var bandwidth: Double { Double(weightBytes) / seconds }

  /// The precision that was asked for.
  package let precision: LinearPrecision

  /// Whether activations were rounded.
  package let isRounded: Bool

  /// Multiplications and additions per second.
  package var operations: Double { 2 * Double(rows) * Double(outputs) * Double(inputs) / seconds }
}

extension CPUDevice {
  /// Times products of random weights of one type and shape.
  ///
  /// Several matrices are multiplied in turn, so many that they do not fit the caches together,
  /// as the layers of a model.
  ///
  /// - Parameters:
  ///   - type: A type that linear layers support.
  ///   - precision: How activations are treated.
  ///   - rows: The numbers of rows, M, to time.
  ///   - outputs: N.
  ///   - inputs: K, a multiple of the type's block.
  ///   - workingSet: Bytes of all matrices together.
  ///   - budget: Seconds that each number of rows may take.
  package func benchmarkLinear(
    _ type: ElementType, precision: LinearPrecision = .exact, rows: [Int], outputs: Int,
    inputs: Int, workingSet: Int = 256 << 20, budget: Double = 0.5
  ) throws(LinearWeights.Failure) -> [LinearMeasurement] {
    guard let bytes = type.byteCount(of: inputs), bytes > 0, outputs > 0 else {
      throw .shape(type, rows: outputs, columns: inputs)
    }
    // Any bits will do: codes are codes, and a NaN among scales takes no longer.
    let stored = AlignedBuffer(byteCount: bytes * outputs)
    for i in stored.bytes.indices { stored.bytes[i] = UInt8(truncatingIfNeeded: i &* 37 & 0x3B) }
    var layers: [LinearWeights] = []
    repeat {
      layers.append(
        try LinearWeights(
          type, rows: outputs, columns: inputs, bytes: UnsafeRawBufferPointer(stored.bytes),
          precision: precision, device: self))
    } while layers.count * layers[0].byteCount < workingSet
    return rows.map { rows in
      let x = AlignedBuffer(byteCount: rows * inputs * MemoryLayout<Float>.stride)
      let y = AlignedBuffer(byteCount: rows * outputs * MemoryLayout<Float>.stride)
      let xs = x.elements(Float.self)
      for i in 0..<rows * inputs { xs[i] = Float(i % 17) * 0.1 - 0.8 }
      let clock = ContinuousClock()
      var times: [Double] = []
      let start = clock.now
      while times.count < 3 || (clock.now - start) / .seconds(1) < budget {
        let layer = layers[times.count % layers.count]
        let time = clock.measure {
          guard let x = xs.baseAddress, let y = y.elements(Float.self).baseAddress else { return }
          layer.multiply(
            MatrixView(x, rows: rows, columns: inputs),
            into: MatrixView(y, rows: rows, columns: outputs))
        }
        times.append(time / .seconds(1))
      }
      return LinearMeasurement(
        type: type, rows: rows, outputs: outputs, inputs: inputs,
        seconds: times.median, weightBytes: layers[0].byteCount,
        precision: precision, isRounded: layers[0].rounded != nil)
    }
  }
}
