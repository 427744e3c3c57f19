import Devices
import Tensors

/// A matrix of random stored weights and, independently of the kernels, what they mean.
struct StoredMatrix {
  let type: ElementType
  let rows: Int
  let columns: Int
  var bytes: [UInt8]

  /// Random bits, with scales of an ordinary size.
  init(_ type: ElementType, rows: Int, columns: Int, using random: inout SplitMix) {
    self.type = type
    self.rows = rows
    self.columns = columns
    let count = rows * columns / type.blockLength * type.blockBytes
    bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
    for start in stride(from: 0, to: count, by: type.blockBytes) {
      for (offset, isNegatable) in type.halfScales {
        var value = Float16(Float.random(in: 0.001...0.02, using: &random))
        if isNegatable, Bool.random(using: &random) { value = -value }
        store(value.bitPattern, at: start + offset)
      }
      switch type {
      case .float32:
        let value = Float.random(in: -1...1, using: &random)
        store(UInt16(truncatingIfNeeded: value.bitPattern), at: start)
        store(UInt16(value.bitPattern >> 16), at: start + 2)
      case .float16: store(Float16(Float.random(in: -1...1, using: &random)).bitPattern, at: start)
      case .bfloat16:
        store(BFloat16(Float.random(in: -1...1, using: &random)).bitPattern, at: start)
      default: break
      }
    }
  }

  private mutating func store(_ bits: UInt16, at offset: Int) {
    bytes[offset] = UInt8(truncatingIfNeeded: bits)
    bytes[offset + 1] = UInt8(bits >> 8)
  }

  private func half(_ offset: Int) -> Double {
    Double(Float16(bitPattern: UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8))
  }

  private func bit(_ offset: Int, _ index: Int) -> Int {
    Int(bytes[offset + index / 8] >> UInt8(index % 8)) & 1
  }

  /// The weight of `row` at `column`, one element at a time from the format's description.
  func weight(_ row: Int, _ column: Int) -> Double {
    let b = (row * columns + column) / type.blockLength * type.blockBytes
    let i = column % type.blockLength
    func byte(_ offset: Int) -> Int { Int(bytes[b + offset]) }
    switch type {
    case .float32:
      let bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[b + $1]) << UInt32(8 * $1) }
      return Double(Float(bitPattern: bits))
    case .float16: return half(b)
    case .bfloat16:
      return Double(Float(BFloat16(bitPattern: UInt16(byte(0)) | UInt16(byte(1)) << 8)))
    case .q4_0, .q4_1, .q5_0, .q5_1:
      let hasMinimum = type == .q4_1 || type == .q5_1
      let isFive = type == .q5_0 || type == .q5_1
      let codes = (hasMinimum ? 4 : 2) + (isFive ? 4 : 0)
      var q = byte(codes + i % 16) >> (i < 16 ? 0 : 4) & 15
      if isFive { q += 16 * bit(b + codes - 4, i) }
      if hasMinimum { return half(b) * Double(q) + half(b + 2) }
      return half(b) * Double(q - (isFive ? 16 : 8))
    case .q8_0: return half(b) * Double(Int8(truncatingIfNeeded: byte(2 + i)))
    case .q2_K:
      let q = byte(16 + i / 128 * 32 + i % 32) >> (2 * (i % 128 / 32)) & 3
      let joined = byte(i / 16)
      return half(b + 80) * Double(joined & 15) * Double(q) - half(b + 82) * Double(joined >> 4)
    case .q3_K:
      let low = byte(32 + i / 128 * 32 + i % 32) >> (2 * (i % 128 / 32)) & 3
      let high = byte(i % 32) >> (i / 32) & 1
      let group = i / 16
      let nibble = group < 8 ? byte(96 + group) & 15 : byte(96 + group - 8) >> 4
      let scale = nibble + 16 * (byte(104 + group % 4) >> (2 * (group / 4)) & 3) - 32
      return half(b + 108) * Double(scale) * Double(low + 4 * high - 4)
    case .q4_K, .q5_K:
      let group = i / 32
      let (scale, minimum) =
        group < 4
        ? (byte(4 + group) % 64, byte(8 + group) % 64)
        : (
          byte(8 + group) % 16 + byte(group) / 64 * 16,
          byte(8 + group) / 16 + byte(4 + group) / 64 * 16
        )
      let codes = type == .q4_K ? 16 : 48
      var q = byte(codes + group / 2 * 32 + i % 32)
      q = group % 2 == 0 ? q % 16 : q / 16
      if type == .q5_K { q += 16 * (byte(16 + i % 32) >> group & 1) }
      return half(b) * Double(scale) * Double(q) - half(b + 2) * Double(minimum)
    case .q6_K:
      let j = i % 128
      let low = byte(i / 128 * 64 + j % 64)
      let high = byte(128 + i / 128 * 32 + j % 32) >> (2 * (j / 32)) & 3
      let q = (j < 64 ? low % 16 : low / 16) + 16 * high - 32
      return half(b + 208) * Double(Int8(truncatingIfNeeded: byte(192 + i / 16))) * Double(q)
    default: return .nan
    }
  }
}

extension ElementType {
  /// The types that linear layers multiply.
  static let linear: [ElementType] = [
    .float32, .float16, .bfloat16, .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q2_K, .q3_K, .q4_K, .q5_K,
    .q6_K,
  ]

  /// Offsets in a block of its half-precision scales, and whether a negative one makes sense.
  fileprivate var halfScales: [(Int, Bool)] {
    switch self {
    case .q4_0, .q5_0, .q8_0: [(0, true)]
    case .q4_1, .q5_1: [(0, false), (2, true)]
    case .q2_K: [(80, false), (82, false)]
    case .q3_K: [(108, true)]
    case .q4_K, .q5_K: [(0, false), (2, false)]
    case .q6_K: [(208, true)]
    default: []
    }
  }
}

extension StoredMatrix {
  /// The weights of a linear layer, read one byte off any alignment, as from a mapped file.
  func packed(
    _ device: CPUDevice, bias: [Float]? = nil, precision: LinearPrecision = .exact
  ) throws -> LinearWeights {
    try ([0] + bytes).withUnsafeBytes { bytes in
      try LinearWeights(
        type, rows: rows, columns: columns, bytes: UnsafeRawBufferPointer(rebasing: bytes[1...]),
        bias: bias, precision: precision, device: device)
    }
  }
}
