import Tensors

/// The header of a safetensors file: each entry well-formed, the whole not yet checked.
struct SafetensorsHeader {
  private(set) var entries: [String: SafetensorsEntry] = [:]
  private(set) var metadata: [String: String] = [:]
  let dataStart: Int
  private let file: MappedFile

  init(_ file: MappedFile) throws(SafetensorsFile.Malformed) {
    self.file = file
    defer { withExtendedLifetime(file) {} }
    func malformed(
      _ problem: SafetensorsFile.Malformed.Problem, at offset: Int = 0
    ) -> SafetensorsFile.Malformed {
      SafetensorsFile.Malformed(path: file.path, offset: offset, problem: problem)
    }
    guard file.bytes.count >= 8 else { throw malformed(.tooShort(file.bytes.count)) }
    let declared = UInt64(littleEndian: file.bytes.loadUnaligned(as: UInt64.self))
    guard let length = Int(exactly: declared), length <= file.bytes.count - 8,
      length <= SafetensorsFile.maximumHeaderLength
    else { throw malformed(.headerLength(declared, available: file.bytes.count - 8)) }
    dataStart = 8 + length
    var cursor = JSONCursor(UnsafeRawBufferPointer(rebasing: file.bytes[8..<dataStart]))
    // The cursor speaks of JSON only; a fault of meaning is noted here and ends the reading.
    var fault: SafetensorsFile.Malformed?
    var entries: [String: SafetensorsEntry] = [:]
    var metadata: [String: String] = [:]
    do throws(JSONCursor.Malformed) {
      try cursor.object { (cursor, name) throws(JSONCursor.Malformed) in
        let start = 8 + cursor.offset
        if name == "__metadata__" {
          try cursor.object { (cursor, key) throws(JSONCursor.Malformed) in
            metadata[key] = try cursor.string()
          }
          return
        }
        let entry = try Self.entry(&cursor)
        if entries.updateValue(entry, forKey: name) != nil {
          fault = malformed(.duplicateTensor(name), at: start)
          throw cursor.malformed("another name")
        }
      }
      try cursor.end()
    } catch {
      throw fault ?? malformed(.json(expected: error.expected), at: 8 + error.offset)
    }
    self.entries = entries
    self.metadata = metadata
  }

  private static func entry(
    _ cursor: inout JSONCursor
  ) throws(JSONCursor.Malformed) -> SafetensorsEntry {
    var type: String?
    var shape: [Int]?
    var offsets: [Int]?
    try cursor.object { (cursor, key) throws(JSONCursor.Malformed) in
      switch key {
      case "dtype": type = try cursor.string()
      case "shape": shape = try sizes(&cursor, atMost: 8)
      case "data_offsets": offsets = try sizes(&cursor, atMost: 2)
      default: try cursor.skipValue()
      }
    }
    guard let type, let shape, let offsets, offsets.count == 2, offsets[0] <= offsets[1] else {
      throw cursor.malformed("dtype, shape and two ascending data_offsets before this")
    }
    return SafetensorsEntry(typeName: type, shape: shape, offsets: offsets[0]..<offsets[1])
  }

  private static func sizes(
    _ cursor: inout JSONCursor, atMost limit: Int
  ) throws(JSONCursor.Malformed) -> [Int] {
    var sizes: [Int] = []
    try cursor.array { (cursor) throws(JSONCursor.Malformed) in
      guard sizes.count < limit else { throw cursor.malformed("at most \(limit) numbers") }
      sizes.append(try cursor.size())
    }
    return sizes
  }

  /// The names in the order of their data, which they must fill without gap or overlap.
  func entriesInOrder() throws(SafetensorsFile.Malformed) -> [String] {
    func malformed(_ problem: SafetensorsFile.Malformed.Problem) -> SafetensorsFile.Malformed {
      SafetensorsFile.Malformed(path: file.path, offset: 8, problem: problem)
    }
    let available = file.bytes.count - dataStart
    let ordered = entries.sorted {
      ($0.value.offsets.lowerBound, $0.value.offsets.upperBound, $0.key)
        < ($1.value.offsets.lowerBound, $1.value.offsets.upperBound, $1.key)
    }
    var end = 0
    for (name, entry) in ordered {
      guard entry.offsets.lowerBound == end, entry.offsets.upperBound <= available else {
        throw malformed(
          .offsets(tensor: name, entry.offsets, expectedStart: end, available: available))
      }
      guard let bytes = SafetensorsEntry.types[entry.typeName]?.bytes else {
        throw malformed(.unknownType(tensor: name, entry.typeName))
      }
      // One byte per element stands in for the types that are not read: only the size matters.
      let elements = StoredTensor.byteCount(type: .int8, shape: entry.shape)
      let product = elements?.multipliedReportingOverflow(by: bytes)
      guard let product, !product.overflow, product.partialValue == entry.offsets.count else {
        throw malformed(
          .size(tensor: name, shape: entry.shape, type: entry.typeName, bytes: entry.offsets.count))
      }
      end = entry.offsets.upperBound
    }
    guard end == available else { throw malformed(.trailingBytes(available - end)) }
    return ordered.map(\.key)
  }
}
