internal import Devices
internal import Tensors

/// Where the forward pass finds keys and values: in the caller's rows where few query tiles read each of
/// them, else in panels that they are copied to once.
///
/// Every tile packs the rows that it reads, which costs a tenth of a long prompt's time, where each key
/// is read by many; copying costs a third of a short sentence's, and as much memory as keys and values.
struct ForwardKeys {
  private let shape: AttentionShape
  /// A page holds a request's keys where they lie; pages of a copy have fewer.
  private var pageSize = 1
  private var keyCount = 0
  /// The copy's pages, and the slot of every key.
  private var copy: PagedKVCache?
  private var slots: [Int] = []

  /// Tokens of a copy's page.
  private static let copiedPageSize = 16
  /// The most tiles that may read a key, on average, where it lies.
  private static let fewTiles = 2

  init(_ shape: AttentionShape) { self.shape = shape }

  /// A batch's page table.
  mutating func batch(queries: RaggedIndex, keys: RaggedIndex)
    throws(DifferentiableAttention.Failure) -> AttentionBatch
  {
    let lengths = (0..<keys.count).map { keys[$0].count }
    let reads = lengths.indices.reduce(0) { sum, r in
      let rows = queries[r].count * shape.groupSize
      return sum + lengths[r] * ((rows + AttentionPlan.largestTile - 1) / AttentionPlan.largestTile)
    }
    keyCount = keys.total
    do {
      if reads > Self.fewTiles * keys.total {
        let table = try PageTable(raggedLengths: lengths, pageSize: Self.copiedPageSize)
        try reserve(table, keys)
        return try AttentionBatch(queries: queries, pages: table)
      }
      // Pages may overlap: page p begins at row p, and a request reads the rows that are its own.
      (copy, slots) = (nil, [])
      pageSize = max(lengths.max() ?? 0, 1)
      let requests = lengths.indices.map { r in
        (pages: lengths[r] == 0 ? [] : [keys[r].lowerBound], kvLength: lengths[r])
      }
      return try AttentionBatch(
        queries: queries, pages: PageTable(requests: requests, pageSize: pageSize))
    } catch {
      throw .pages(String(describing: error))
    }
  }

  /// Takes memory for a copy, and lists the slot of every key.
  private mutating func reserve(_ table: PageTable, _ keys: RaggedIndex)
    throws(PagedKVCache.Failure)
  {
    let pageCount = max(table.indices.count, 1)
    if (copy?.pageCount ?? 0) < pageCount {
      copy = nil
      copy = try PagedKVCache(
        pageCount: pageCount, pageSize: Self.copiedPageSize, kvHeads: shape.kvHeads,
        headDimension: shape.headDimension, valueDimension: shape.valueDimension,
        elementType: .float32)
    }
    slots.removeAll(keepingCapacity: true)
    slots.reserveCapacity(keys.total)
    for r in 0..<keys.count {
      let first = Int(table.offsets[r]) * Self.copiedPageSize
      slots += first..<first + keys[r].count
    }
  }

  /// The batch's keys and values as attention reads them; valid as long as the matrices.
  func cache(keys: MatrixView, values: MatrixView, on device: CPUDevice)
    throws(DifferentiableAttention.Failure) -> PagedKVCache
  {
    do {
      if let copy {
        try copy.append(keys: keys, values: values, slots: slots, on: device)
        return copy
      }
      func strides(_ matrix: MatrixView, _ dimension: Int) -> PagedKVCache.ForeignStrides {
        .init(page: matrix.stride, head: dimension, token: matrix.stride)
      }
      return try PagedKVCache(
        borrowingKeys: keys.base, keyStrides: strides(keys, shape.headDimension),
        values: values.base, valueStrides: strides(values, shape.valueDimension),
        pageCount: max(keyCount, 1), pageSize: pageSize, kvHeads: shape.kvHeads,
        headDimension: shape.headDimension, valueDimension: shape.valueDimension,
        elementType: .float32)
    } catch {
      throw .pages(String(describing: error))
    }
  }
}
