import Tensors

/// The fixed start of a GGUF file: magic, version, counts.
struct GGUFHeader {
  let version: Int
  let tensorCount: Int
  let metadataCount: Int

  /// The least bytes of a tensor's entry: name length, dimension count, type, offset.
  private static let leastTensorEntry = 24
  /// The least bytes of a metadata entry: key length, a key of one byte, type, a value of one.
  private static let leastMetadataEntry = 14

  init(_ cursor: inout GGUFCursor) throws(GGUFFile.Malformed) {
    let magic = try cursor.skip(4, "the magic")
    guard cursor.file.bytes[magic..<magic + 4].elementsEqual(GGUFFile.magic) else {
      throw cursor.malformed(.notGGUF, at: magic)
    }
    let version = try cursor.next(UInt32.self, "the version")
    switch version {
    case 2, 3: self.version = Int(version)
    // A big-endian writer's 1, 2 or 3 has its bytes swapped; no little-endian version is so large.
    case let v where v & 0xFFFF == 0: throw cursor.malformed(.bigEndian, at: 4)
    default: throw cursor.malformed(.version(version), at: 4)
    }
    tensorCount = try cursor.nextCount("the tensor count", ofSizeAtLeast: Self.leastTensorEntry)
    metadataCount = try cursor.nextCount(
      "the metadata count", ofSizeAtLeast: Self.leastMetadataEntry)
  }
}

/// A tensor's entry in the header, not yet checked against the data.
struct GGUFTensorInfo {
  let name: String
  let shape: [Int]
  let type: ElementType
  let dataOffset: UInt64
  /// Where the entry starts in the file, for messages.
  let headerOffset: Int

  /// The tensor, once it is known to lie in the file.
  func tensor(
    in file: MappedFile, dataStart: Int, alignment: Int
  ) throws(GGUFFile.Malformed) -> StoredTensor {
    func malformed(_ problem: GGUFFile.Malformed.Problem) -> GGUFFile.Malformed {
      GGUFFile.Malformed(path: file.path, offset: headerOffset, problem: problem)
    }
    guard let byteCount = StoredTensor.byteCount(type: type, shape: shape) else {
      throw malformed(.shape(tensor: name, shape: shape, type))
    }
    guard dataOffset % UInt64(alignment) == 0 else {
      throw malformed(.misaligned(tensor: name, offset: dataOffset, alignment: alignment))
    }
    let available = max(file.bytes.count - dataStart, 0)
    guard let offset = Int(exactly: dataOffset), offset <= available,
      byteCount <= available - offset
    else {
      throw malformed(
        .outsideData(
          tensor: name, offset: dataOffset, byteCount: byteCount, available: available))
    }
    let start = dataStart + offset
    let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[start..<start + byteCount])
    guard
      let tensor = StoredTensor(name: name, type: type, shape: shape, bytes: bytes, owner: file)
    else { throw malformed(.shape(tensor: name, shape: shape, type)) }
    return tensor
  }
}

extension GGUFCursor {
  /// Reads the metadata entries.
  mutating func metadata(
    count: Int
  ) throws(GGUFFile.Malformed) -> (keys: [String], values: [String: GGUFValue]) {
    var keys: [String] = []
    var values: [String: GGUFValue] = [:]
    for _ in 0..<count {
      let start = offset
      let key = try nextName("a metadata key")
      let typeOffset = offset
      let code = try next(UInt32.self, "the type of \(key)")
      guard let type = GGUFValueType(rawValue: code) else {
        throw malformed(.unknownValueType(key, code), at: typeOffset)
      }
      guard values.updateValue(try nextValue(type, key: key), forKey: key) == nil else {
        throw malformed(.duplicateKey(key), at: start)
      }
      keys.append(key)
    }
    return (keys, values)
  }

  /// The alignment of tensor data: `general.alignment`, or 32.
  func alignment(_ metadata: [String: GGUFValue]) throws(GGUFFile.Malformed) -> Int {
    guard let value = metadata["general.alignment"] else { return 32 }
    guard let alignment = value.integer, alignment >= 8, alignment <= 1 << 20,
      alignment & (alignment - 1) == 0
    else { throw malformed(.alignment(value.integer), at: offset) }
    return alignment
  }

  /// Reads the tensor entries.
  mutating func tensorInfos(count: Int) throws(GGUFFile.Malformed) -> [GGUFTensorInfo] {
    var infos: [GGUFTensorInfo] = []
    for _ in 0..<count {
      let start = offset
      let name = try nextName("a tensor name")
      let dimensions = try next(UInt32.self, "the dimension count of \(name)")
      guard dimensions <= GGUFFile.maximumDimensions else {
        throw malformed(.tooManyDimensions(tensor: name, dimensions), at: start)
      }
      var innermostFirst: [Int] = []
      for _ in 0..<dimensions {
        let size = try next(UInt64.self, "the shape of \(name)")
        guard let exact = Int(exactly: size), exact > 0 else {
          throw malformed(.dimension(tensor: name, size), at: start)
        }
        innermostFirst.append(exact)
      }
      let typeOffset = offset
      let code = try next(UInt32.self, "the type of \(name)")
      guard let type = GGUFTensorType.type(code: code) else {
        throw malformed(.unknownTensorType(tensor: name, code), at: typeOffset)
      }
      infos.append(
        GGUFTensorInfo(
          name: name, shape: innermostFirst.reversed(), type: type,
          dataOffset: try next(UInt64.self, "the offset of \(name)"), headerOffset: start))
    }
    return infos
  }
}
