import Glibc
public import Tensors

/// Cosines and sines of an embedding: at the positions of one step's tokens, or at all positions.
///
/// Filled once per step and used by every layer; or filled once with `0 ..< n`, and rows name their
/// positions. Storage grows to the largest filling and is reused.
public struct RotaryTable: Sendable {
  /// The embedding.
  public let embedding: RotaryEmbedding

  /// The number of tokens whose positions it holds.
  public private(set) var count = 0

  /// Which elements of a head turn together.
  public var pairing: RotaryEmbedding.Pairing { embedding.pairing }

  /// The turned elements of a head.
  public var dimension: Int { embedding.dimension }

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
    reserve(positions.count)
    for (token, position) in positions.enumerated() {
      for (i, frequency) in embedding.frequencies.enumerated() {
        let angle = Double(position) * frequency
        set(
          token, i, cosine: Float(embedding.amplitude * cos(angle)),
          sine: Float(embedding.amplitude * sin(angle)))
      }
    }
  }

  /// Replaces the contents by a cache made elsewhere, in FlashInfer's and vLLM's form: a row for
  /// every position, its first half cosines, its second half sines.
  ///
  /// - Parameter cache: Positions × dimension.
  public mutating func fill(cosSinCache cache: MatrixView) throws(RotaryEmbedding.Failure) {
    let half = dimension / 2
    guard cache.columns == dimension else {
      throw .factorCount(expected: dimension, found: cache.columns)
    }
    reserve(cache.rows)
    for position in 0..<cache.rows {
      let row = cache.row(position)
      for i in 0..<half { set(position, i, cosine: row[i], sine: row[half + i]) }
    }
  }

  private mutating func reserve(_ count: Int) {
    self.count = count
    // A copy of this table keeps its own contents.
    if count > capacity || !isKnownUniquelyReferenced(&storage) {
      capacity = max(count, capacity)
      storage = AlignedBuffer(byteCount: capacity * 2 * width * MemoryLayout<Float>.stride)
    }
  }

  private func set(_ token: Int, _ i: Int, cosine: Float, sine: Float) {
    let (cosines, sines) = (cosines(token), sines(token))
    if pairing == .adjacent {
      (cosines[2 * i], cosines[2 * i + 1]) = (cosine, cosine)
      (sines[2 * i], sines[2 * i + 1]) = (-sine, sine)
    } else {
      (cosines[i], sines[i]) = (cosine, sine)
    }
  }

  func cosines(_ token: Int) -> UnsafeMutablePointer<Float> {
    storage.bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: Float.self)
      + token * 2 * width
  }

  func sines(_ token: Int) -> UnsafeMutablePointer<Float> { cosines(token) + width }
}
