/// A list in a GGUF file's metadata, left where it lies in the mapped file.
///
/// A vocabulary has hundreds of thousands of strings; opening a file only notes where each starts.
/// Elements are decoded when asked for.
public struct GGUFArray: Sendable {
  /// The type of every element; never `.array`.
  public let elementType: GGUFValueType
  /// The number of elements.
  public let count: Int

  private let file: MappedFile
  /// For numbers and truth values: where the first element starts in the file.
  private let start: Int
  /// For strings: where each string's length field starts.
  ///
  /// Every string was found to lie inside the file when it was opened.
  private let stringStarts: [Int]

  init(numbersOf elementType: GGUFValueType, count: Int, at start: Int, in file: MappedFile) {
    self.elementType = elementType
    self.count = count
    self.file = file
    self.start = start
    stringStarts = []
  }

  init(stringsAt starts: [Int], in file: MappedFile) {
    elementType = .string
    count = starts.count
    self.file = file
    start = 0
    stringStarts = starts
  }

  /// Calls `body` with the bytes of the string at `index`; `nil` where there is no such string.
  ///
  /// The bytes are valid during the call only and need not be UTF-8.
  public func withUTF8<Result>(
    at index: Int, _ body: (UnsafeBufferPointer<UInt8>) throws -> Result
  ) rethrows -> Result? {
    guard elementType == .string, index >= 0, index < count else { return nil }
    return try withExtendedLifetime(file) { try body(utf8(at: index)) }
  }

  /// The string at `index`, with U+FFFD for what is not UTF-8; `nil` where there is no such string.
  public func string(at index: Int) -> String? {
    withUTF8(at: index) { String(decoding: $0, as: UTF8.self) }
  }

  /// All strings, or `nil` where the elements are not strings.
  public var strings: [String]? {
    guard elementType == .string else { return nil }
    return withExtendedLifetime(file) {
      stringStarts.indices.map { String(decoding: utf8(at: $0), as: UTF8.self) }
    }
  }

  /// All elements as integers, or `nil` where they are not, or one does not fit `Int`.
  public var integers: [Int]? {
    switch elementType {
    case .uint8: load(UInt8.self) { Int($0) }
    case .int8: load(Int8.self) { Int($0) }
    case .uint16: load(UInt16.self) { Int(UInt16(littleEndian: $0)) }
    case .int16: load(Int16.self) { Int(Int16(littleEndian: $0)) }
    case .uint32: load(UInt32.self) { Int(UInt32(littleEndian: $0)) }
    case .int32: load(Int32.self) { Int(Int32(littleEndian: $0)) }
    case .uint64: load(UInt64.self) { Int(exactly: UInt64(littleEndian: $0)) }
    case .int64: load(Int64.self) { Int(Int64(littleEndian: $0)) }
    case .float32, .float64, .bool, .string, .array: nil
    }
  }

  /// All elements as single-precision floats (rounded from doubles), or `nil` where they are not
  /// floats.
  public var floats: [Float]? {
    switch elementType {
    case .float32: load(UInt32.self) { Float(bitPattern: UInt32(littleEndian: $0)) }
    case .float64: load(UInt64.self) { Float(Double(bitPattern: UInt64(littleEndian: $0))) }
    default: nil
    }
  }

  /// All elements as truth values, or `nil` where they are not.
  public var bools: [Bool]? {
    elementType == .bool ? load(UInt8.self) { $0 != 0 } : nil
  }

  /// The bytes of a string whose index was checked.
  private func utf8(at index: Int) -> UnsafeBufferPointer<UInt8> {
    let start = stringStarts[index]
    let length = Int(
      truncatingIfNeeded: UInt64(
        littleEndian: file.bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self)))
    return UnsafeRawBufferPointer(rebasing: file.bytes[start + 8..<start + 8 + length])
      .assumingMemoryBound(to: UInt8.self)
  }

  private func load<Stored: BitwiseCopyable, Element>(
    _ type: Stored.Type, _ convert: (Stored) -> Element?
  ) -> [Element]? {
    var elements: [Element] = []
    elements.reserveCapacity(count)
    defer { withExtendedLifetime(file) {} }
    for i in 0..<count {
      let offset = start + i * MemoryLayout<Stored>.size
      guard let element = convert(file.bytes.loadUnaligned(fromByteOffset: offset, as: type)) else {
        return nil
      }
      elements.append(element)
    }
    return elements
  }
}
