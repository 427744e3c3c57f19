import Devices
import Tensors
import Testing

/// Every (type, level) that the processor at hand can run.
private let combinations = InstructionSet.available.flatMap { level in
  ElementType.linear.map { (level, $0) }
}

@Suite struct LinearWeightsTests {
  /// Rows of activations: every register block and its remainders, and none.
  static let rowCounts = [0, 1, 2, 3, 4, 5, 7, 8, 33, 129]

  /// The shapes N × K of a type.
  static func shapes(_ type: ElementType) -> [(n: Int, k: Int)] {
    let ks =
      switch type.blockLength {
      case 1: [1, 7, 40, 576]
      case 32: [32, 64, 96, 512, 768]
      default: [256, 512, 768]
      }
    return [1, 5, 16, 17, 40].flatMap { n in ks.map { (n, $0) } } + [(777, ks[ks.count - 1])]
  }

  // A level that the processor lacks shows as skipped.
  @Test(.enabled(if: InstructionSet.avx2.isAvailable, "this processor has no AVX2"))
  func avx2IsCovered() { #expect(combinations.contains { $0.0 == .avx2 }) }

  @Test(.enabled(if: InstructionSet.avx512.isAvailable, "this processor has no AVX-512"))
  func avx512IsCovered() { #expect(combinations.contains { $0.0 == .avx512 }) }

  @Test(.enabled(if: InstructionSet.avx512bf16.isAvailable, "this processor has no AVX-512 BF16"))
  func avx512bf16IsCovered() { #expect(combinations.contains { $0.0 == .avx512bf16 }) }

  @Test(arguments: combinations)
  func productsAgreeWithDouble(level: InstructionSet, type: ElementType) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = SplitMix(state: 7)
    for (n, k) in Self.shapes(type) {
      let stored = StoredMatrix(type, rows: n, columns: k, using: &random)
      let weights = try stored.packed(device)
      let rows = n > 100 ? 40 : 129
      let x = Matrix.random(rows, k, padding: 3, using: &random)
      let oracle = Oracle(x, stored)
      for m in Self.rowCounts where m <= rows {
        let y = Matrix(m, n, padding: 5, filled: .nan)
        weights.multiply(x.view.rows(0..<m), into: y.view)
        let error = oracle.largestError(y)
        #expect(error <= 1e-5, "M \(m) N \(n) K \(k)")
        #expect(y.paddingIsUntouched, "M \(m) N \(n) K \(k)")
      }
    }
  }

  @Test(arguments: ElementType.linear)
  func packedSizeIsNearTheStored(_ type: ElementType) throws {
    let device = try CPUDevice(threads: 1)
    var random = SplitMix(state: 19)
    let stored = StoredMatrix(type, rows: 64, columns: 512, using: &random)
    let weights = try stored.packed(device)
    #expect(Double(weights.byteCount) <= 1.25 * Double(stored.bytes.count))
  }

  @Test func hostileShapesAreRefused() throws {
    let device = try CPUDevice(threads: 1)
    func make(_ type: ElementType, _ rows: Int, _ columns: Int, _ count: Int, bias: [Float]? = nil)
      throws(LinearWeights.Failure)
    {
      let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: max(count, 1), alignment: 1)
      defer { bytes.deallocate() }
      _ = try LinearWeights(
        type, rows: rows, columns: columns,
        bytes: UnsafeRawBufferPointer(rebasing: bytes[..<count]), bias: bias, device: device)
    }
    for (rows, columns) in [
      (0, 32), (1, 0), (-1, 32), (1, -32), (1, 33), (.max, 32), (1 << 40, 1 << 30), (1, .max - 31),
    ] {
      #expect(throws: LinearWeights.Failure.shape(.q4_0, rows: rows, columns: columns)) {
        try make(.q4_0, rows, columns, 18)
      }
    }
    #expect(throws: LinearWeights.Failure.byteCount(expected: 36, found: 35)) {
      try make(.q4_0, 2, 32, 35)
    }
    #expect(throws: LinearWeights.Failure.byteCount(expected: 36, found: 0)) {
      try make(.q4_0, 2, 32, 0)
    }
    #expect(throws: LinearWeights.Failure.unsupportedType(.int32)) { try make(.int32, 1, 1, 4) }
    #expect(throws: LinearWeights.Failure.biasCount(expected: 1, found: 2)) {
      try make(.float32, 1, 1, 4, bias: [1, 2])
    }
  }
}
