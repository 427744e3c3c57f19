/// The index pointers of a ragged batch: request `i` owns elements `offsets[i] ..< offsets[i + 1]`.
///
/// The same convention as CSR's `indptr` and FlashInfer's ragged tensors.
public struct RaggedIndex: Sendable, Hashable {
  /// `count + 1` non-decreasing offsets, the first of them 0.
  public let offsets: [Int]

  /// What is wrong with a list of offsets.
  public enum Invalid: Error, Hashable {
    /// The list is empty or does not start with 0.
    case firstOffset(Int?)
    /// `offsets[index]` is less than its predecessor.
    case decreasing(index: Int, value: Int, previous: Int)
    /// `lengths[index]` is negative.
    case negativeLength(index: Int, value: Int)
    /// With `lengths[index]` the sum exceeds `Int.max`.
    case tooLong(index: Int, value: Int)
  }

  /// Checks and takes `offsets`.
  public init(offsets: [Int]) throws(Invalid) {
    guard offsets.first == 0 else { throw .firstOffset(offsets.first) }
    for i in offsets.indices.dropFirst() where offsets[i] < offsets[i - 1] {
      throw .decreasing(index: i, value: offsets[i], previous: offsets[i - 1])
    }
    self.offsets = offsets
  }

  /// The index of a batch whose requests have the given lengths.
  public init(lengths: [Int]) throws(Invalid) {
    // A sum of lengths that are not negative is negative where it first overflows.
    var signs = 0
    offsets = [Int](unsafeUninitializedCapacity: lengths.count + 1) { offsets, count in
      var sum = 0
      offsets[0] = 0
      lengths.withUnsafeBufferPointer { lengths in
        for i in 0..<lengths.count {
          sum &+= lengths[i]
          signs |= lengths[i] | sum
          offsets[i + 1] = sum
        }
      }
      count = lengths.count + 1
    }
    if signs >= 0 { return }
    for (i, length) in lengths.enumerated() {
      guard length >= 0 else { throw .negativeLength(index: i, value: length) }
      guard offsets[i + 1] >= 0 else { throw .tooLong(index: i, value: length) }
    }
  }

  /// The number of requests.
  public var count: Int { offsets.count - 1 }

  /// The number of elements of all requests.
  public var total: Int { offsets[count] }

  /// The elements of request `i`.
  public subscript(i: Int) -> Range<Int> { offsets[i]..<offsets[i + 1] }
}

extension RaggedIndex.Invalid: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .firstOffset(let value):
      "ragged index: the first offset must be 0, found \(value.map(String.init) ?? "no offset")"
    case .decreasing(let index, let value, let previous):
      "ragged index: offsets[\(index)] = \(value) is less than offsets[\(index - 1)] = \(previous)"
    case .negativeLength(let index, let value):
      "ragged index: lengths[\(index)] = \(value) is negative"
    case .tooLong(let index, let value):
      "ragged index: with lengths[\(index)] = \(value) the sum exceeds \(Int.max)"
    }
  }
}
