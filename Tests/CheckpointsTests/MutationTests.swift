import Checkpoints
import Foundation
import Testing

/// Sound files, damaged at random but always in the same way, and read.
///
/// Each ends in a typed error or in a file whose every tensor lies inside its bytes. `scripts/fuzz`
/// searches longer and deeper.
@Suite struct MutationTests {
  private static let rounds = 10_000

  private static func seeds(_ name: String) throws -> [[UInt8]] {
    let folder = URL(filePath: #filePath).appending(path: "../../../Fuzz/Corpus/\(name)")
      .standardized
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    return try files.map { try Array(Data(contentsOf: folder.appending(path: $0))) }
  }

  @Test func gguf() throws {
    var (sound, broken) = (0, 0)
    try mutate(try Self.seeds("GGUF")) { mapped in
      do throws(GGUFFile.Malformed) {
        let file = try GGUFFile(mapped)
        sound += 1
        check(file.tensors, mapped)
        for key in file.metadataKeys {
          guard let array = file.metadata[key]?.array else { continue }
          let views = [array.strings?.count, array.floats?.count, array.bools?.count]
          require(views.allSatisfy { $0 == nil || $0 == array.count }, "array of \(key)")
        }
      } catch {
        broken += 1
        require((0...mapped.bytes.count).contains(error.offset), "offset of \(error)")
      }
    }
    // Both ends were met, so the damage was neither too light nor too heavy to mean anything.
    #expect(sound > 50 && broken > 50)
  }

  @Test func safetensors() throws {
    var (sound, broken) = (0, 0)
    try mutate(try Self.seeds("Safetensors")) { mapped in
      do throws(SafetensorsFile.Malformed) {
        let file = try SafetensorsFile(mapped)
        sound += 1
        check(file.tensorNames.compactMap { try? file.tensor(named: $0) }, mapped)
      } catch {
        broken += 1
        require((0...mapped.bytes.count).contains(error.offset), "offset of \(error)")
      }
    }
    #expect(sound > 50 && broken > 50)
  }

  private func check(_ tensors: [StoredTensor], _ mapped: MappedFile) {
    for tensor in tensors {
      require(tensor.dequantized().count == tensor.elementCount, tensor.name)
      guard let start = tensor.bytes.baseAddress, let file = mapped.bytes.baseAddress else {
        continue
      }
      let isInside = start >= file && start + tensor.bytes.count <= file + mapped.bytes.count
      require(isInside, tensor.name)
    }
  }

  /// `#expect` costs too much to be asked a hundred thousand times.
  private func require(_ condition: Bool, _ what: @autoclosure () -> String) {
    if !condition { Issue.record("\(what())") }
  }

  private func mutate(_ seeds: [[UInt8]], _ body: (MappedFile) throws -> Void) throws {
    var random = Random(state: 0x9E37_79B9_7F4A_7C15)
    for _ in 0..<Self.rounds {
      var bytes = seeds[random.below(seeds.count)]
      for _ in 0...random.below(3) { damage(&bytes, seeds, &random) }
      guard !bytes.isEmpty else { continue }
      try body(try bytes.withUnsafeBytes { try MappedFile(copying: $0, name: "mutant") })
    }
  }

  private func damage(_ bytes: inout [UInt8], _ seeds: [[UInt8]], _ random: inout Random) {
    guard bytes.count > 16 else { return }
    let at = random.below(bytes.count - 8)
    switch random.below(8) {
    case 0: bytes[at] ^= 1 << UInt8(random.below(8))
    case 1: bytes[at] = UInt8(truncatingIfNeeded: random.next())
    case 2: bytes.removeSubrange(at..<min(at + random.below(16), bytes.count))
    case 3: bytes.removeLast(random.below(bytes.count))
    case 4: bytes.insert(contentsOf: bytes[at..<at + 8], at: random.below(bytes.count))
    case 5:
      let other = seeds[random.below(seeds.count)]
      bytes = Array(bytes.prefix(at)) + other.dropFirst(random.below(other.count))
    default:
      // A whole field, where counts, lengths and offsets are.
      let values: [UInt64] = [
        0, 1, 0xFF, 1 << 31, 1 << 32, 1 << 61, 1 << 62, 1 << 63, .max, .max - 31, random.next(),
      ]
      let value = values[random.below(values.count)]
      let width = random.below(2) == 0 ? 4 : 8
      for i in 0..<width { bytes[at + i] = UInt8(truncatingIfNeeded: value >> UInt64(8 * i)) }
    }
  }

  /// xorshift64: the same damage on every run.
  private struct Random {
    var state: UInt64

    mutating func next() -> UInt64 {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return state
    }

    mutating func below(_ bound: Int) -> Int { Int(next() >> 1) % bound }
  }
}
