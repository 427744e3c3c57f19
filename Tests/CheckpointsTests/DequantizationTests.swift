import Checkpoints
import Foundation
import Tensors
import Testing

/// Stored bytes with the floats that an independent implementation makes of them.
struct DequantizationVector: CustomTestStringConvertible {
  let type: ElementType
  let stored: [UInt8]
  let expected: [Float]
  var testDescription: String { "\(type.rawValue), \(expected.count) elements" }

  /// Lines of `scripts/checkpoint_vectors.py`.
  static let committed: [DequantizationVector] = load(
    URL(filePath: #filePath).appending(path: "../../Vectors/dequantization.txt").standardized.path)

  static let more: [DequantizationVector] =
    ProcessInfo.processInfo.environment["ATTENTION_CHECKPOINT_VECTORS"].map(load) ?? []

  private static func load(_ path: String) -> [DequantizationVector] {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [] }
    return text.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ")
      guard fields.count == 3, let type = ElementType(rawValue: String(fields[0])) else {
        return nil
      }
      let bits = bytes(fields[2])
      return DequantizationVector(
        type: type, stored: bytes(fields[1]),
        expected: stride(from: 0, to: bits.count, by: 4).map { i in
          Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(bits[i + $1]) << UInt32(8 * $1) })
        })
    }
  }

  private static func bytes(_ hex: Substring) -> [UInt8] {
    let digits = hex.utf8.map { $0 <= 0x39 ? $0 - 0x30 : $0 - 0x57 }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }
}

@Suite struct DequantizationTests {
  @Test func theVectorsCoverEveryType() {
    #expect(Set(DequantizationVector.committed.map(\.type)) == Set(ElementType.allCases))
  }

  /// Bit for bit, NaN for NaN, at an address that is aligned to nothing.
  @Test(arguments: DequantizationVector.committed)
  func agreesWithTheReference(vector: DequantizationVector) throws { try check(vector) }

  @Test func agreesWithTheReferenceOnMore() throws {
    for vector in DequantizationVector.more { try check(vector) }
  }

  private func check(_ vector: DequantizationVector) throws {
    let shifted = [0] + vector.stored
    let actual = try shifted.withUnsafeBytes { bytes in
      let file = try MappedFile(copying: bytes, name: "vector")
      let tensor = try #require(
        StoredTensor(
          name: "vector", type: vector.type, shape: [vector.expected.count],
          bytes: UnsafeRawBufferPointer(rebasing: file.bytes[1...]), owner: file))
      return tensor.dequantized()
    }
    let differing = zip(actual, vector.expected).enumerated().first { _, pair in
      pair.0.bitPattern != pair.1.bitPattern && !(pair.0.isNaN && pair.1.isNaN)
    }
    #expect(actual.count == vector.expected.count)
    #expect(differing == nil, "\(vector.type)")
  }

  @Test func aRowIsItsPartOfTheWhole() throws {
    var generator = SystemRandomNumberGenerator()
    for type in ElementType.allCases {
      let shape = [2, 3, type.blockLength * 2]
      let rowBytes = type.blockBytes * 2
      let stored = (0..<6 * rowBytes).map { _ in UInt8.random(in: 0...255, using: &generator) }
      let file = try stored.withUnsafeBytes { try MappedFile(copying: $0, name: "random") }
      let tensor = try #require(
        StoredTensor(name: "t", type: type, shape: shape, bytes: file.bytes, owner: file))
      let whole = tensor.dequantized().map { $0.isNaN ? 0 : $0 }
      var row = [Float](repeating: 0, count: tensor.columns)
      for i in 0..<6 {
        try row.withUnsafeMutableBufferPointer { try tensor.dequantizeRow(i, into: $0) }
        #expect(
          row.map { $0.isNaN ? 0 : $0 } == Array(whole[i * row.count..<(i + 1) * row.count]))
      }
      #expect(throws: StoredTensor.Misuse.row(tensor: "t", row: 6, rows: 6)) {
        try row.withUnsafeMutableBufferPointer { try tensor.dequantizeRow(6, into: $0) }
      }
      #expect(throws: StoredTensor.Misuse.self) {
        try row.withUnsafeMutableBufferPointer {
          try tensor.dequantizeRow(0, into: UnsafeMutableBufferPointer(rebasing: $0.dropLast()))
        }
      }
    }
  }

  @Test func sizesThatDoNotFitAreRefused() throws {
    let file = try [UInt8](repeating: 0, count: 64).withUnsafeBytes {
      try MappedFile(copying: $0, name: "zeros")
    }
    func tensor(_ type: ElementType, _ shape: [Int]) -> StoredTensor? {
      StoredTensor(name: "t", type: type, shape: shape, bytes: file.bytes, owner: file)
    }
    #expect(tensor(.float32, [4, 4]) != nil)
    #expect(tensor(.float32, [4, 5]) == nil)
    #expect(tensor(.float32, [-4, -4]) == nil)
    #expect(tensor(.q8_0, [31]) == nil)
    #expect(tensor(.int8, [1 << 32, 1 << 32, 64]) == nil)
    #expect(tensor(.int8, [0, 1 << 62, 1 << 62]) == nil)
    #expect(tensor(.int64, [1 << 61, 8]) == nil)
  }
}
