import Checkpoints
import Tensors
import Testing

/// Each file is wrong in one way; the error names that way and its place.
@Suite struct GGUFHostileTests {
  /// A file put together from raw fields, sound or not.
  struct Raw {
    var bytes: [UInt8] = Array("GGUF".utf8)

    mutating func integer(_ value: some FixedWidthInteger) {
      withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
    }

    mutating func string(_ text: String) {
      integer(UInt64(text.utf8.count))
      bytes += text.utf8
    }

    mutating func pad(_ count: Int) { bytes += [UInt8](repeating: 0, count: count) }

    static func header(tensors: UInt64, metadata: UInt64) -> Raw {
      var raw = Raw()
      raw.integer(UInt32(3))
      raw.integer(tensors)
      raw.integer(metadata)
      return raw
    }

    /// A file of one tensor named `t`.
    static func tensor(
      shape: [UInt64], type: UInt32 = 0, offset: UInt64 = 0, data: Int = 256
    ) -> Raw {
      var raw = header(tensors: 1, metadata: 0)
      raw.string("t")
      raw.integer(UInt32(shape.count))
      for size in shape { raw.integer(size) }
      raw.integer(type)
      raw.integer(offset)
      raw.pad((32 - raw.bytes.count % 32) % 32 + data)
      return raw
    }
  }

  private func problem(_ bytes: [UInt8]) throws -> (GGUFFile.Malformed.Problem, Int) {
    let error = #expect(throws: GGUFFile.Malformed.self) {
      try bytes.withUnsafeBytes { try GGUFFile(MappedFile(copying: $0, name: "hostile")) }
    }
    let found = try #require(error)
    #expect(found.description.hasPrefix("hostile: byte \(found.offset): "))
    return (found.problem, found.offset)
  }

  @Test func headers() throws {
    #expect(try problem(Array("GGML....".utf8)).0 == .notGGUF)
    #expect(try problem(Array("GG".utf8)).0 == .truncated("the magic", needed: 4, 2))
    var v1 = Raw()
    v1.integer(UInt32(1))
    #expect(try problem(v1.bytes) == (.version(1), 4))
    var big = Raw()
    big.integer(UInt32(3).byteSwapped)
    #expect(try problem(big.bytes) == (.bigEndian, 4))
  }

  @Test func countsAreBoundedByWhatFollows() throws {
    let tensors = Raw.header(tensors: .max, metadata: 0)
    #expect(try problem(tensors.bytes).0 == .truncated("the tensor count", needed: .max, 0))
    let metadata = Raw.header(tensors: 0, metadata: 1 << 62)
    #expect(try problem(metadata.bytes).0 == .truncated("the metadata count", needed: 1 << 62, 0))
    for element: UInt32 in [0, 6, 8, 12] {
      var array = Raw.header(tensors: 0, metadata: 1)
      array.string("k")
      array.integer(UInt32(9))
      array.integer(element)
      array.integer(UInt64.max / 8)
      array.pad(16)
      let found = try problem(array.bytes)
      guard case .truncated("the value of k", needed: UInt64.max / 8, _) = found.0 else {
        Issue.record("\(found)")
        continue
      }
      #expect(found.1 == 24 + 9 + 8)
    }
    var string = Raw.header(tensors: 0, metadata: 1)
    string.string("k")
    string.integer(UInt32(8))
    string.integer(UInt64.max)
    #expect(try problem(string.bytes).0 == .truncated("the value of k", needed: .max, 0))
  }

  @Test func metadata() throws {
    func entry(_ keys: [String], type: UInt32 = 7) -> Raw {
      var raw = Raw.header(tensors: 0, metadata: UInt64(keys.count))
      for key in keys {
        raw.string(key)
        raw.integer(type)
        raw.pad(1)
      }
      raw.pad(64)
      return raw
    }
    #expect(try problem(entry(["a", "b", "a"]).bytes).0 == .duplicateKey("a"))
    #expect(try problem(entry([""]).bytes).0 == .invalidName("a metadata key"))
    #expect(try problem(entry(["a"], type: 13).bytes) == (.unknownValueType("a", 13), 33))
    var invalid = entry(["a"])
    invalid.bytes[32] = 0xFF
    #expect(try problem(invalid.bytes).0 == .invalidName("a metadata key"))
    let long = entry([String(repeating: "k", count: 65_536)])
    #expect(try problem(long.bytes).0 == .nameTooLong("a metadata key", 65_536))
    var nested = Raw.header(tensors: 0, metadata: 1)
    nested.string("k")
    nested.integer(UInt32(9))
    nested.integer(UInt32(9))
    nested.pad(16)
    #expect(try problem(nested.bytes).0 == .nestedArray("the value of k"))
  }

  @Test(arguments: [UInt32(0), 1, 4, 33, 48, 1 << 21, .max])
  func alignment(value: UInt32) throws {
    var writer = GGUFWriter()
    writer.set("general.alignment", .uint32(value))
    #expect(try problem(writer.bytes()).0 == .alignment(Int(value)))
  }

  @Test func shapes() throws {
    let huge: [[UInt64]] = [
      [1 << 62, 4], [1 << 32, 1 << 32], [3, 1 << 62, 1 << 62, 4], [1 << 63],
    ]
    for shape in huge + [[0], [4, 0], [.max]] {
      switch try problem(Raw.tensor(shape: shape).bytes).0 {
      case .shape(tensor: "t", _, .float32), .dimension(tensor: "t", _), .outsideData: break
      case let other: Issue.record("\(shape): \(other)")
      }
    }
    #expect(
      try problem(Raw.tensor(shape: [33], type: 2).bytes).0
        == .shape(tensor: "t", shape: [33], .q4_0))
    #expect(
      try problem(Raw.tensor(shape: [1, 1, 1, 1, 1]).bytes).0
        == .tooManyDimensions(tensor: "t", 5))
  }

  @Test func types() throws {
    for code: UInt32 in [4, 9, 16, 31, 40, .max] {
      #expect(
        try problem(Raw.tensor(shape: [32], type: code).bytes).0
          == .unknownTensorType(tensor: "t", code))
    }
  }

  @Test func offsets() throws {
    #expect(
      try problem(Raw.tensor(shape: [4], offset: 8).bytes).0
        == .misaligned(tensor: "t", offset: 8, alignment: 32))
    for offset: UInt64 in [256, 1 << 63, .max - 31, 224 + 32] {
      #expect(
        try problem(Raw.tensor(shape: [4], offset: offset).bytes).0
          == .outsideData(tensor: "t", offset: offset, byteCount: 16, available: 256))
    }
    #expect(
      try problem(Raw.tensor(shape: [65]).bytes).0
        == .outsideData(tensor: "t", offset: 0, byteCount: 260, available: 256))
  }

  @Test func duplicateTensors() throws {
    var writer = GGUFWriter()
    writer.add("t", shape: [1], float32: [1])
    writer.add("t", shape: [1], float32: [1])
    #expect(try problem(writer.bytes()).0 == .duplicateTensor("t"))
  }

  @Test func everyTruncationIsAnError() throws {
    var writer = GGUFWriter()
    writer.set("tokens", .strings(["a", "bc", ""]))
    writer.set("types", .int32s([1, 2, 3]))
    writer.add("t", shape: [2, 2], float32: [1, 2, 3, 4])
    writer.add("u", shape: [3], float16: [1, 2, 3])
    let whole = writer.bytes()
    _ = try writer.opened()
    for count in 1..<whole.count { _ = try problem(Array(whole.prefix(count))) }
  }
}
