import Checkpoints
import Devices
import Tensors

extension Checker {
  /// Rows of activations: `few` up to 4, `many` beyond, and its register blocks' remainders.
  private static let rowCounts = [1, 2, 3, 4, 5, 13, 17]

  /// Products with weights of every stored type, odd sizes, with and without bias and accumulation.
  func checkLinear() throws {
    for precision in LinearPrecision.allCases {
      for type in ElementType.allCases { try checkLinear(type, precision) }
    }
  }

  private func checkLinear(_ type: ElementType, _ precision: LinearPrecision) throws {
    let blocks: [Int] =
      switch type {
      case .float32, .float16, .bfloat16: [1, 7, 40, 300]
      case .q2_K, .q3_K, .q4_K, .q5_K, .q6_K: [1, 3]
      case _ where type.isQuantized: [1, 3, 10]
      default: []
      }
    for (i, count) in blocks.enumerated() {
      for outputs in [5, 33] {
        try checkLinear(
          type, precision, outputs: outputs, inputs: count * type.blockLength,
          biased: i % 2 == 1)
      }
    }
  }

  private func checkLinear(
    _ type: ElementType, _ precision: LinearPrecision, outputs: Int, inputs: Int, biased: Bool
  ) throws {
    Matrix.releaseAll()
    let stored = StoredWeights(
      type, rows: outputs, columns: inputs, isCoarse: precision == .fast, &random)
    let bias = biased ? (0..<outputs).map { _ in random.float(in: -1...1) } : nil
    let weights = try devices.map { try stored.pack(bias: bias, precision, device: $0) }
    let most = Self.rowCounts.reduce(0, max)
    let x = precision == .exact ? Matrix(most, inputs, &random) : wholeActivations(most, inputs)
    let old = Matrix(most, outputs, &random)
    let (products, sizes) = stored.products(with: x)
    for rows in Self.rowCounts {
      let accumulates = rows % 2 == 0
      var exact = products.prefix(rows * outputs).map { $0 }
      var scale = sizes.prefix(rows * outputs).map { $0 }
      for i in exact.indices {
        let column = i % outputs
        var terms = Double(bias?[column] ?? 0)
        if accumulates { terms += Double(old.view.row(i / outputs)[column]) }
        exact[i] += terms
        scale[i] += abs(terms)
      }
      check(
        .linear,
        "\(type.rawValue) \(precision.rawValue) \(rows) × \(inputs) · \(inputs) × \(outputs)",
        limit: 1e-5,
        exact: exact, scale: scale
      ) { side in
        let y = Matrix(rows, outputs) { accumulates ? old.view.row($0)[$1] : .nan }
        weights[side].multiply(x.view.rows(0..<rows), into: y.view, accumulate: accumulates)
        return y
      }
    }
  }
}

extension Checker {
  /// Activations that no rounding changes: integers up to 127, which every group of 32 reaches.
  private func wholeActivations(_ rows: Int, _ columns: Int) -> Matrix {
    Matrix(rows, columns) { _, column in
      column % 32 == 5 ? 127 : random.float(in: -127...127).rounded()
    }
  }
}

/// Random stored weights.
///
/// What they mean is asked of the checkpoint reader, which shares nothing with the kernels.
private struct StoredWeights {
  let type: ElementType
  let rows: Int
  let columns: Int
  private let memory: AlignedBuffer

  /// One byte off any alignment, as in a mapped file.
  private var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory.bytes)[1...])
  }

  /// Random bits, with scales of an ordinary size; coarse halves are exact in bfloat16 as well.
  init(_ type: ElementType, rows: Int, columns: Int, isCoarse: Bool, _ random: inout Random) {
    (self.type, self.rows, self.columns) = (type, rows, columns)
    let count = rows * columns / type.blockLength * type.blockBytes
    memory = AlignedBuffer(byteCount: count + 1)
    let start = memory.bytes.baseAddress.unsafelyUnwrapped + 1
    for i in 0..<count {
      start.storeBytes(of: UInt8(random.next() >> 56), toByteOffset: i, as: UInt8.self)
    }
    for block in stride(from: 0, to: count, by: type.blockBytes) {
      let value = random.float(in: -1...1)
      switch type {
      case .float32: start.storeBytes(of: value.bitPattern, toByteOffset: block, as: UInt32.self)
      case .float16:
        let half = Float16(isCoarse ? Float(BFloat16(value)) : value)
        start.storeBytes(of: half.bitPattern, toByteOffset: block, as: UInt16.self)
      case .bfloat16:
        start.storeBytes(of: BFloat16(value).bitPattern, toByteOffset: block, as: UInt16.self)
      default:
        for offset in type.scaleOffsets {
          let scale = Float16(random.float(in: 0.001...0.02))
          start.storeBytes(of: scale.bitPattern, toByteOffset: block + offset, as: UInt16.self)
        }
      }
    }
  }

  func pack(bias: [Float]?, _ precision: LinearPrecision, device: CPUDevice) throws
    -> LinearWeights
  {
    try withExtendedLifetime(memory) {
      try LinearWeights(
        type, rows: rows, columns: columns, bytes: bytes, bias: bias,
        precision: precision, device: device)
    }
  }

  /// x·Wᵀ in Double, and Σ|x·w|.
  func products(with x: Matrix) -> (exact: [Double], sizes: [Double]) {
    let tensor = StoredTensor(
      name: "weights", type: type, shape: [rows, columns], bytes: bytes, owner: memory)
    let weights = withExtendedLifetime(memory) { tensor?.dequantized() ?? [] }.map { Double($0) }
    var exact: [Double] = []
    var sizes: [Double] = []
    for m in 0..<x.view.rows {
      let row = (0..<columns).map { Double(x.view.row(m)[$0]) }
      for n in 0..<rows {
        var (sum, size) = (0.0, 0.0)
        for k in 0..<columns {
          let product = row[k] * weights[n * columns + k]
          sum += product
          size += abs(product)
        }
        exact.append(sum)
        sizes.append(size + 1e-30)
      }
    }
    return (exact, sizes)
  }
}

extension ElementType {
  /// Offsets in a quantised block of its half-precision scales.
  fileprivate var scaleOffsets: [Int] {
    switch self {
    case .q4_0, .q5_0, .q8_0: [0]
    case .q4_1, .q5_1, .q4_K, .q5_K: [0, 2]
    case .q2_K: [80, 82]
    case .q3_K: [108]
    case .q6_K: [208]
    default: []
    }
  }
}
