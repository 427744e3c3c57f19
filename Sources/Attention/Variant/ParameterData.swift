internal import Glibc
internal import Tensors

/// A variant's vectors and tensors as a run reads them.
///
/// - Invariant: Pointers into `ParameterStore`, which outlives the run.
struct ParameterData {
  /// A tensor with an entry for each row and head, or a vector over dimensions.
  struct Tensor: BitwiseCopyable {
    var base: UnsafePointer<Float>
    /// Floats from one head's rows to the next head's.
    var headPitch: Int
    var heads: AttentionVariant.HeadAxis
  }

  /// A custom mask: where each request's bits begin.
  struct Mask: BitwiseCopyable {
    var bytes: UnsafePointer<UInt8>
    var offsets: UnsafePointer<Int>
  }

  /// Per-head vectors, `heads` floats each.
  var perHead: UnsafePointer<Float>
  var heads: Int
  var tensors: UnsafePointer<Tensor>
  var masks: UnsafePointer<Mask>
  /// Where each request's tokens and new tokens begin in tensors.
  var tokenOffsets: UnsafePointer<Int>
  var queryOffsets: UnsafePointer<Int>

  /// The number of a tensor's row at a place.
  @inline(__always)
  private func row(_ row: Expression.TensorRow, at place: ScorePlace) -> Int {
    switch row {
    case .key: tokenOffsets[place.request] + place.kv
    // A query before the first key has no token; it never sees a key either.
    case .query: tokenOffsets[place.request] + max(place.query, 0)
    case .queryRow: queryOffsets[place.request] + place.queryRow
    case .request: place.request
    case .only: place.dimension
    }
  }

  @inline(__always)
  private func head(_ tensor: Tensor, at place: ScorePlace) -> Int {
    switch tensor.heads {
    case .none: 0
    case .query: place.queryHead
    case .kv: place.kvHead
    }
  }

  /// An entry of a tensor.
  @inline(__always)
  func value(_ number: Int, _ row: Expression.TensorRow, at place: ScorePlace) -> Float {
    let tensor = tensors[number]
    return tensor.base[head(tensor, at: place) * tensor.headPitch + self.row(row, at: place)]
  }

  /// The entries of a tensor for the keys of a place's request, from position 0 on.
  @inline(__always)
  func keys(_ number: Int, at place: ScorePlace) -> UnsafePointer<Float> {
    let tensor = tensors[number]
    return tensor.base + head(tensor, at: place) * tensor.headPitch + tokenOffsets[place.request]
  }

  /// The bits of a request's mask, and the number of the first bit of a query's row.
  @inline(__always)
  func bits(_ number: Int, at place: ScorePlace) -> (UnsafePointer<UInt8>, Int) {
    let mask = masks[number]
    return (mask.bytes + mask.offsets[place.request], place.queryRow * place.kvLength)
  }

  /// The least and greatest entry of a tensor over a block of places.
  func range(_ number: Int, _ row: Expression.TensorRow, over places: PlaceRange) -> Interval {
    guard places.request.count == 1 else { return .everything }
    let (request, kvLength) = (places.request.lowerBound, places.kvLength.lowerBound)
    let tensor = tensors[number]
    let heads =
      switch tensor.heads {
      case .none: 0...0
      case .query: places.queryHead
      case .kv: places.kvHead
      }
    let rows: ClosedRange<Int>
    let first = tokenOffsets[request]
    switch row {
    case .key: rows = first + places.kv.lowerBound...first + places.kv.upperBound
    case .query:
      rows = first + max(places.query.lowerBound, 0)...first + max(places.query.upperBound, 0)
    case .queryRow:
      let shift = queryOffsets[request] - kvLength + places.queryLength.lowerBound
      rows = shift + places.query.lowerBound...shift + places.query.upperBound
    case .request: rows = request...request
    case .only: return .everything
    }
    var (low, high) = (Float.infinity, -Float.infinity)
    for head in heads {
      let base = tensor.base + head * tensor.headPitch
      for i in rows {
        // A NaN is neither below nor above anything: it could be any truth value.
        if base[i].isNaN { return .everything }
        low = min(low, base[i])
        high = max(high, base[i])
      }
    }
    return Interval(Double(low), Double(high))
  }

  /// Whether a custom mask is all ones, all zeros or both over a block of places.
  func truth(ofMask number: Int, over places: PlaceRange) -> Interval {
    guard places.request.count == 1 else { return .either }
    var (some, all) = (false, true)
    var place = ScorePlace()
    place.request = places.request.lowerBound
    place.kvLength = places.kvLength.lowerBound
    place.queryLength = places.queryLength.lowerBound
    for query in places.query {
      place.query = query
      let (bytes, row) = bits(number, at: place)
      var bit = row + places.kv.lowerBound
      var rest = places.kv.count
      while rest > 0 {
        // Up to 56 bits at a time, wherever the first one lies in its byte.
        let count = min(rest, 56)
        let word = UnsafeRawPointer(bytes + bit / 8).loadUnaligned(as: UInt64.self)
        let wanted = UInt64.max >> UInt64(64 - count)
        let found = word.littleEndian >> UInt64(bit % 8) & wanted
        some = some || found != 0
        all = all && found == wanted
        if some && !all { return .either }
        bit += count
        rest -= count
      }
    }
    return Interval(some ? 1 : 0)
  }
}

/// Keeps the data of a variant's parameters for the planned batch, at addresses that runs read.
final class ParameterStore {
  private let declarations: Declarations
  let perHead = Section<Float>()
  private let heads: Int
  private let kvHeads: Int
  let floats: [Section<Float>]
  let bytes: [Section<UInt8>]
  let byteOffsets: [Section<Int>]
  let tensors = Section<ParameterData.Tensor>()
  let masks = Section<ParameterData.Mask>()
  let tokenOffsets = Section<Int>()
  let queryOffsets = Section<Int>()
  private var kvLengths: [Int] = []
  /// Which tensors and masks have data, those of the definition among them.
  private(set) var bound: Set<Expression.Nullable> = []

  /// Loads and mask words may pass the end by this many entries.
  private static let slack = 160

  init(_ variant: AttentionVariant, heads: Int, kvHeads: Int) {
    declarations = variant.declarations
    self.heads = heads
    self.kvHeads = kvHeads
    perHead.assign(variant.parameters.vectors.flatMap { $0 })
    floats = declarations.tensors.map { _ in Section<Float>() }
    bytes = declarations.masks.map { _ in Section<UInt8>() }
    byteOffsets = declarations.masks.map { _ in Section<Int>() }
    for (i, data) in variant.parameters.tensors {
      floats[i].assign(data)
      bound.insert(.tensor(i))
    }
    publish()
  }

  /// The data for a run.
  var data: ParameterData {
    ParameterData(
      perHead: UnsafePointer(perHead.base), heads: heads, tensors: UnsafePointer(tensors.base),
      masks: UnsafePointer(masks.base), tokenOffsets: UnsafePointer(tokenOffsets.base),
      queryOffsets: UnsafePointer(queryOffsets.base))
  }

  /// Forgets the data bound so far and takes the lengths of another batch.
  func begin(_ batch: AttentionBatch) {
    if declarations.tensors.isEmpty && declarations.masks.isEmpty { return }
    kvLengths = batch.pages.kvLengths.map(Int.init)
    queryOffsets.assign(batch.queries.offsets)
    tokenOffsets.removeAll()
    var total = 0
    for length in kvLengths {
      tokenOffsets.append(total)
      total += length
    }
    tokenOffsets.append(total)
    bound = bound.filter { isFixed($0) }
  }

  private func isFixed(_ nullable: Expression.Nullable) -> Bool {
    if case .tensor(let i) = nullable { declarations.tensors[i].rows == .only } else { false }
  }

  /// Takes data for the current batch; names without data keep what they have.
  func bind(_ data: VariantTensors) throws(AttentionVariant.Invalid) {
    let known = declarations.tensors.map(\.name) + declarations.masks.map(\.name)
    let given = data.floats.keys.sorted() + data.bits.keys.sorted()
    for name in given where !known.contains(name) {
      throw .unknownParameter(name, known: known)
    }
    for (i, tensor) in declarations.tensors.enumerated() where tensor.rows != .only {
      if let values = data.floats[tensor.name] { try bind(values, to: i, tensor) }
    }
    for (i, mask) in declarations.masks.enumerated() {
      if let values = data.bits[mask.name] { try bind(values, toMask: i, mask.name) }
    }
    publish()
  }

  private func bind(_ values: [Float], to number: Int, _ tensor: Declarations.Tensor)
    throws(AttentionVariant.Invalid)
  {
    let rows = rowCount(tensor)
    let columns = headCount(tensor)
    guard values.count == rows * columns else {
      throw .length(tensor.name, expected: [rows, columns], found: values.count)
    }
    // Head after head, so that a head's keys are adjacent.
    let section = floats[number]
    section.fill(0, count: rows * columns + Self.slack)
    for row in 0..<rows {
      for head in 0..<columns { section.base[head * rows + row] = values[row * columns + head] }
    }
    bound.insert(.tensor(number))
  }

  private func bind(_ values: [UInt8], toMask number: Int, _ name: String)
    throws(AttentionVariant.Invalid)
  {
    let offsets = byteOffsets[number]
    offsets.removeAll()
    var total = 0
    for (request, length) in kvLengths.enumerated() {
      offsets.append(total)
      let rows = queryOffsets.base[request + 1] - queryOffsets.base[request]
      total += (rows * length + 7) / 8
    }
    guard values.count == total else { throw .length(name, expected: [total], found: values.count) }
    let section = bytes[number]
    section.fill(0, count: total + Self.slack)
    values.withUnsafeBufferPointer { source in
      if let first = source.baseAddress { section.base.update(from: first, count: total) }
    }
    bound.insert(.mask(number))
  }

  private func rowCount(_ tensor: Declarations.Tensor) -> Int {
    switch tensor.rows {
    case .key, .query: tokenOffsets.elements.last ?? 0
    case .queryRow: queryOffsets.elements.last ?? 0
    case .request: kvLengths.count
    case .only: 1
    }
  }

  private func headCount(_ tensor: Declarations.Tensor) -> Int {
    switch tensor.heads {
    case .none: 1
    case .query: heads
    case .kv: kvHeads
    }
  }

  /// Parameters that must have data and have none.
  var missing: String? {
    for (i, tensor) in declarations.tensors.enumerated()
    where !tensor.isNullable && !bound.contains(.tensor(i)) {
      return tensor.name
    }
    for (i, mask) in declarations.masks.enumerated()
    where !mask.isNullable && !bound.contains(.mask(i)) {
      return mask.name
    }
    return nil
  }

  private func publish() {
    tensors.removeAll()
    for (i, tensor) in declarations.tensors.enumerated() {
      tensors.append(
        ParameterData.Tensor(
          base: UnsafePointer(floats[i].base), headPitch: kvLengths.isEmpty ? 0 : rowCount(tensor),
          heads: tensor.heads))
    }
    masks.removeAll()
    for (section, offsets) in zip(bytes, byteOffsets) {
      masks.append(
        ParameterData.Mask(
          bytes: UnsafePointer(section.base), offsets: UnsafePointer(offsets.base)))
    }
  }
}
