import Glibc
internal import Tensors

/// Cosines and sines of an embedding at the positions of one step's tokens.
///
/// Filled once per step and used by every layer. Storage grows to the largest step and is reused.
public struct RotaryTable: Sendable {
  /// The embedding.
  public let embedding: RotaryEmbedding

  /// The number of tokens whose positions it holds.
  public private(set) var count = 0

  // Per token: cosines, then sines, `width` floats each.
  private var storage = AlignedBuffer(byteCount: 0)
  private var capacity = 0

  /// An empty table.
  public init(_ embedding: RotaryEmbedding) { self.embedding = embedding }

  /// Floats of a token's cosines: one for every element of a pair where pairs are adjacent, so
  /// that a vector of elements meets a vector of cosines.
  var width: Int { embedding.pairing == .adjacent ? embedding.dimension : embedding.dimension / 2 }

  /// Replaces the contents by those of the given positions, one for every token.
  public mutating func fill(positions: some Collection<Int>) {
    count = positions.count
    // A copy of this table keeps its own contents.
    if count > capacity || !isKnownUniquelyReferenced(&storage) {
      capacity = max(count, capacity)
      storage = AlignedBuffer(byteCount: capacity * 2 * width * MemoryLayout<Float>.stride)
    }
    let adjacent = embedding.pairing == .adjacent
    for (token, position) in positions.enumerated() {
      let cosines = cosines(token)
      let sines = sines(token)
      for (i, frequency) in embedding.frequencies.enumerated() {
        let angle = Double(position) * frequency
        let cosine = Float(embedding.amplitude * cos(angle))
        let sine = Float(embedding.amplitude * sin(angle))
        if adjacent {
          (cosines[2 * i], cosines[2 * i + 1]) = (cosine, cosine)
          (sines[2 * i], sines[2 * i + 1]) = (-sine, sine)
        } else {
          (cosines[i], sines[i]) = (cosine, sine)
        }
      }
    }
  }

  func cosines(_ token: Int) -> UnsafeMutablePointer<Float> {
    storage.bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: Float.self)
      + token * 2 * width
  }

  func sines(_ token: Int) -> UnsafeMutablePointer<Float> { cosines(token) + width }
}
