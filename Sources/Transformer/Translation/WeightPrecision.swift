internal import Devices
internal import Tensors

/// How a translator keeps its linear layers' weights, and what it rounds activations to.
public enum WeightPrecision: String, Sendable, Hashable, CaseIterable {
  /// 32-bit floats throughout.
  case float32 = "f32"
  /// Weights and activations rounded to bfloat16.
  case bfloat16 = "bf16"
  /// Weights and activations rounded to 8-bit integers, with a scale for every 32 of them.
  case int8

  /// Packs rows of floats.
  func pack(
    _ weights: MatrixView, bias: [Float]?, on device: CPUDevice
  ) throws(LinearWeights.Failure) -> LinearWeights {
    let count = weights.rows * weights.columns
    let floats = UnsafeBufferPointer(start: weights.base, count: count)
    let (type, bytes): (ElementType, [UInt8]) =
      switch self {
      case .float32: (.float32, Array(UnsafeRawBufferPointer(floats)))
      case .bfloat16:
        (.bfloat16, floats.map { BFloat16($0).bitPattern.littleEndian }.withUnsafeBytes(Array.init))
      case .int8:
        // Blocks do not run over rows.
        weights.columns % 32 == 0 ? (.q8_0, Self.blocks(floats)) : (.float32, [])
      }
    if self == .int8, bytes.isEmpty {
      throw .shape(.q8_0, rows: weights.rows, columns: weights.columns)
    }
    let packed = bytes.withUnsafeBytes { bytes in
      Result { () throws(LinearWeights.Failure) in
        try LinearWeights(
          type, rows: weights.rows, columns: weights.columns, bytes: bytes, bias: bias,
          precision: self == .float32 ? .exact : .fast, device: device)
      }
    }
    return try packed.get()
  }

  /// GGUF's Q8_0: a 16-bit scale and 32 codes, the largest magnitude becoming ±127.
  private static func blocks(_ x: UnsafeBufferPointer<Float>) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(x.count / 32 * 34)
    for first in stride(from: 0, to: x.count, by: 32) {
      let block = x[first..<first + 32]
      let scale = Float16(block.reduce(0) { max($0, abs($1)) } / 127)
      let bits = scale.bitPattern
      bytes += [UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8)]
      let inverse = scale > 0 ? 1 / Float(scale) : 0
      for value in block {
        let code = max(-127, min(127, (value * inverse).rounded(.toNearestOrEven)))
        bytes.append(UInt8(bitPattern: Int8(code)))
      }
    }
    return bytes
  }
}
