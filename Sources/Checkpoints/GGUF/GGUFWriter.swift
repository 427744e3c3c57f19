package import Tensors

/// Builds small GGUF files in memory, for tests.
package struct GGUFWriter {
  /// A metadata value to write.
  package enum Value {
    case uint32(UInt32), int32(Int32), uint64(UInt64), float32(Float), bool(Bool), string(String)
    case strings([String]), int32s([Int32]), float32s([Float])
  }

  private var metadata: [(key: String, value: Value)] = []
  private var tensors: [(name: String, type: ElementType, shape: [Int], bytes: [UInt8])] = []
  private let version: UInt32
  private let alignment: Int

  /// A writer of an empty file; an alignment other than 32 is also written as metadata.
  package init(version: UInt32 = 3, alignment: Int = 32) {
    self.version = version
    self.alignment = alignment
    if alignment != 32 { set("general.alignment", .uint32(UInt32(clamping: alignment))) }
  }

  /// Adds a metadata entry.
  package mutating func set(_ key: String, _ value: Value) { metadata.append((key, value)) }

  /// Adds a tensor of raw bytes; `shape` is outermost first.
  package mutating func add(_ name: String, _ type: ElementType, shape: [Int], bytes: [UInt8]) {
    tensors.append((name, type, shape, bytes))
  }

  /// Adds an F32 tensor.
  package mutating func add(_ name: String, shape: [Int], float32 values: [Float]) {
    add(name, .float32, shape: shape, bytes: values.flatMap { Self.bytes($0.bitPattern) })
  }

  /// Adds a BF16 tensor, values rounded.
  package mutating func add(_ name: String, shape: [Int], bfloat16 values: [Float]) {
    add(
      name, .bfloat16, shape: shape,
      bytes: values.flatMap { Self.bytes(BFloat16($0).bitPattern) })
  }

  /// Adds an F16 tensor, values rounded.
  package mutating func add(_ name: String, shape: [Int], float16 values: [Float]) {
    add(name, .float16, shape: shape, bytes: values.flatMap { Self.bytes(Float16($0).bitPattern) })
  }

  /// The file.
  package func bytes() -> [UInt8] {
    var file = Array("GGUF".utf8) + Self.bytes(version)
    file += Self.bytes(UInt64(tensors.count)) + Self.bytes(UInt64(metadata.count))
    for entry in metadata { file += Self.bytes(entry.key) + Self.bytes(entry.value) }
    var offset = 0
    for tensor in tensors {
      file += Self.bytes(tensor.name) + Self.bytes(UInt32(tensor.shape.count))
      for size in tensor.shape.reversed() { file += Self.bytes(UInt64(size)) }
      file += Self.bytes(GGUFTensorType.code(of: tensor.type) ?? .max)
      file += Self.bytes(UInt64(offset))
      offset = aligned(offset + tensor.bytes.count)
    }
    for tensor in tensors {
      file += [UInt8](repeating: 0, count: aligned(file.count) - file.count)
      file += tensor.bytes
    }
    return file
  }

  /// The file, opened.
  package func opened(name: String = "memory") throws -> GGUFFile {
    try bytes().withUnsafeBytes { try GGUFFile(MappedFile(copying: $0, name: name)) }
  }

  private func aligned(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }

  private static func bytes(_ integer: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: integer.littleEndian, Array.init)
  }

  private static func bytes(_ string: String) -> [UInt8] {
    bytes(UInt64(string.utf8.count)) + Array(string.utf8)
  }

  private static func bytes(_ value: Value) -> [UInt8] {
    func tagged(_ type: GGUFValueType, _ content: [UInt8]) -> [UInt8] {
      bytes(type.rawValue) + content
    }
    func list(_ type: GGUFValueType, _ count: Int, _ content: [UInt8]) -> [UInt8] {
      tagged(.array, bytes(type.rawValue) + bytes(UInt64(count)) + content)
    }
    return switch value {
    case .uint32(let value): tagged(.uint32, bytes(value))
    case .int32(let value): tagged(.int32, bytes(value))
    case .uint64(let value): tagged(.uint64, bytes(value))
    case .float32(let value): tagged(.float32, bytes(value.bitPattern))
    case .bool(let value): tagged(.bool, [value ? 1 : 0])
    case .string(let value): tagged(.string, bytes(value))
    case .strings(let values): list(.string, values.count, values.flatMap { bytes($0) })
    case .int32s(let values): list(.int32, values.count, values.flatMap { bytes($0) })
    case .float32s(let values):
      list(.float32, values.count, values.flatMap { bytes($0.bitPattern) })
    }
  }
}
