/// A bounds-checked little-endian reader that walks a GGUF file's header once, front to back.
struct GGUFCursor {
  let file: MappedFile
  private(set) var offset = 0

  init(_ file: MappedFile) { self.file = file }

  /// The bytes not yet read.
  var remaining: Int { file.bytes.count - offset }

  /// An error of this file.
  func malformed(_ problem: GGUFFile.Malformed.Problem, at offset: Int) -> GGUFFile.Malformed {
    GGUFFile.Malformed(path: file.path, offset: offset, problem: problem)
  }

  /// Steps over `count` bytes and says where they started; `what` names them in an error.
  mutating func skip(_ count: Int, _ what: String) throws(GGUFFile.Malformed) -> Int {
    guard count >= 0, count <= remaining else {
      throw malformed(.truncated(what, needed: UInt64(clamping: count), remaining), at: offset)
    }
    defer { offset += count }
    return offset
  }

  /// The next integer.
  mutating func next<T: FixedWidthInteger & BitwiseCopyable>(
    _ type: T.Type, _ what: String
  ) throws(GGUFFile.Malformed) -> T {
    let start = try skip(MemoryLayout<T>.size, what)
    return T(littleEndian: file.bytes.loadUnaligned(fromByteOffset: start, as: type))
  }

  /// The next count of things that take at least `size` bytes each: never more than can follow.
  mutating func nextCount(
    _ what: String, ofSizeAtLeast size: Int
  ) throws(GGUFFile.Malformed) -> Int {
    let start = offset
    let count = try next(UInt64.self, what)
    guard let exact = Int(exactly: count), exact <= remaining / size else {
      throw malformed(.truncated(what, needed: count, remaining / size), at: start)
    }
    return exact
  }

  /// Steps over the next string and says where its bytes lie.
  mutating func nextStringRange(_ what: String) throws(GGUFFile.Malformed) -> Range<Int> {
    let length = try nextCount(what, ofSizeAtLeast: 1)
    let start = try skip(length, what)
    return start..<start + length
  }

  /// The next string, which is a name: bounded, not empty, UTF-8.
  mutating func nextName(_ what: String) throws(GGUFFile.Malformed) -> String {
    let start = offset
    let range = try nextStringRange(what)
    guard range.count <= GGUFFile.maximumNameLength else {
      throw malformed(.nameTooLong(what, range.count), at: start)
    }
    let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[range])
    guard !bytes.isEmpty, let name = String(validating: bytes, as: UTF8.self) else {
      throw malformed(.invalidName(what), at: start)
    }
    return name
  }

  /// The next value of the given type, arrays left in the file.
  mutating func nextValue(
    _ type: GGUFValueType, key: String
  ) throws(GGUFFile.Malformed) -> GGUFValue {
    let what = "the value of \(key)"
    switch type {
    case .uint8: return .integer(Int(try next(UInt8.self, what)), type)
    case .int8: return .integer(Int(try next(Int8.self, what)), type)
    case .uint16: return .integer(Int(try next(UInt16.self, what)), type)
    case .int16: return .integer(Int(try next(Int16.self, what)), type)
    case .uint32: return .integer(Int(try next(UInt32.self, what)), type)
    case .int32: return .integer(Int(try next(Int32.self, what)), type)
    case .int64: return .integer(Int(try next(Int64.self, what)), type)
    case .uint64:
      let value = try next(UInt64.self, what)
      return Int(exactly: value).map { .integer($0, type) } ?? .hugeInteger(value)
    case .float32: return .float(Double(Float(bitPattern: try next(UInt32.self, what))), type)
    case .float64: return .float(Double(bitPattern: try next(UInt64.self, what)), type)
    case .bool: return .bool(try next(UInt8.self, what) != 0)
    case .string:
      let range = try nextStringRange(what)
      return .string(String(decoding: file.bytes[range], as: UTF8.self))
    case .array: return .array(try nextArray(what))
    }
  }

  private mutating func nextArray(_ what: String) throws(GGUFFile.Malformed) -> GGUFArray {
    let start = offset
    let code = try next(UInt32.self, what)
    guard let type = GGUFValueType(rawValue: code) else {
      throw malformed(.unknownValueType(what, code), at: start)
    }
    guard type != .array else { throw malformed(.nestedArray(what), at: start) }
    if let size = type.byteCount {
      let count = try nextCount(what, ofSizeAtLeast: size)
      return GGUFArray(
        numbersOf: type, count: count, at: try skip(count * size, what), in: file)
    }
    let count = try nextCount(what, ofSizeAtLeast: MemoryLayout<UInt64>.size)
    var starts: [Int] = []
    starts.reserveCapacity(count)
    for _ in 0..<count {
      starts.append(offset)
      _ = try nextStringRange(what)
    }
    return GGUFArray(stringsAt: starts, in: file)
  }
}
