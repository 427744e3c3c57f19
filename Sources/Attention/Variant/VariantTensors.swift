internal import Tensors

/// The data of a variant's tensor parameters for one batch, by name.
///
/// ```swift
/// var tensors = VariantTensors()
/// tensors["key-scale"] = scales                // Σ kvLength × kvHeads floats
/// tensors[mask: "tree"] = bits                 // packed little-endian
/// try plan.update(batch, tensors: tensors)
/// ```
///
/// Shapes are checked when the data meets a batch. The order of axes is (row, head).
public struct VariantTensors: Sendable, Hashable {
  package private(set) var floats: [String: [Float]] = [:]
  package private(set) var bits: [String: [UInt8]] = [:]

  /// No data.
  public init() {}

  /// The data of a tensor.
  public subscript(_ name: String) -> [Float]? {
    get { floats[name] }
    set { floats[name] = newValue }
  }

  /// The bits of a custom mask: `queryLength × kvLength` for each request, row-major, little-endian,
  /// each request on a byte of its own.
  public subscript(mask name: String) -> [UInt8]? {
    get { bits[name] }
    set { bits[name] = newValue }
  }

  /// Packs a custom mask: `allows(request, i, kv)` for every new token i and key of a batch.
  public static func packing(
    _ batch: AttentionBatch, allows: (_ request: Int, _ i: Int, _ kv: Int) -> Bool
  ) -> [UInt8] {
    var bytes: [UInt8] = []
    for request in 0..<batch.requestCount {
      let (rows, keys) = (batch.queries[request].count, Int(batch.pages.kvLengths[request]))
      let first = bytes.count
      bytes += [UInt8](repeating: 0, count: (rows * keys + 7) / 8)
      for i in 0..<rows {
        for kv in 0..<keys where allows(request, i, kv) {
          let bit = i * keys + kv
          bytes[first + bit / 8] |= 1 << UInt8(bit % 8)
        }
      }
    }
    return bytes
  }
}
