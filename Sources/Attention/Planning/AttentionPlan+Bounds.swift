public import Devices
internal import Tensors

// Static launches: everything at fixed places of one workspace.
extension AttentionPlan {
  /// The bytes of workspace of a plan with bounds: all the memory that it takes, once.
  ///
  /// Partial states are most of it: 2·(workers − 1) tiles of 128 rows and one head for what is cut,
  /// and for every shared row two rows of all query heads (see `AttentionBounds/sharedRows`).
  public static func workspaceSize(
    for bounds: AttentionBounds, device: CPUDevice, shape: AttentionShape,
    variant: AttentionVariant = .causal, workers: Int? = nil, isBatchInvariant: Bool = false
  ) throws(Failure) -> Int {
    let plan = try AttentionPlan(
      device: device, shape: shape, variant: variant, workers: workers,
      isBatchInvariant: isBatchInvariant)
    return try plan.workspaceSize(for: bounds)
  }

  /// The bytes of workspace that this plan would take with other bounds.
  public func workspaceSize(for bounds: AttentionBounds) throws(Failure) -> Int {
    var size = PlanMemory()
    place(&size, try capacity(for: bounds))
    return size.bytes
  }

  /// The bytes of the workspace.
  ///
  /// Without bounds, what runs of the batches so far write; the plan's lists are not counted.
  public var workspaceSize: Int { workspace.byteCount }

  /// Takes all memory that batches within bounds need.
  func fix(_ bounds: AttentionBounds) throws(Failure) {
    let capacity = try capacity(for: bounds)
    var size = PlanMemory()
    place(&size, capacity)
    guard let buffer = AlignedBuffer(trying: size.bytes) else { throw .memory(bytes: size.bytes) }
    var memory = PlanMemory(buffer.bytes.baseAddress)
    place(&memory, capacity)
    workspace.keep(buffer)
  }

  private func capacity(for bounds: AttentionBounds) throws(Failure) -> PlanCapacity {
    for (name, value) in [
      ("bound on requests", bounds.requests), ("bound on query rows", bounds.queryRows),
      ("bound on pages", bounds.pages), ("bound on the page size", bounds.pageSize),
      ("bound on shared rows", bounds.sharedRows), ("bound on block rows", bounds.blockRows),
    ] {
      guard value >= 0, value <= 1 << 28 else { throw .tooLarge(name) }
    }
    let queries = max(Self.largestTile / shape.groupSize, 1)
    // The paper's tiles may be as small as one query.
    let capacity = PlanCapacity(
      bounds, schedule, tileQueries: tileRule == .ofAverage ? 1 : queries,
      segments: code.bounds.hasGaps ? MaskBounds.maximumSegments : 1)
    let bytes =
      Double(capacity.states) * Double(shape.valueDimension + 8) * 4
      + Double(capacity.items + capacity.tiles + capacity.parts) * 64
    guard bytes < 0x1p45 else { throw .tooLarge("bytes of workspace for the bounds") }
    return capacity
  }

  private func place(_ memory: inout PlanMemory, _ capacity: PlanCapacity) {
    let bounds = capacity.bounds
    workspace.place(&memory, states: capacity.states)
    memory.take(pageOffsets, bounds.requests + 1)
    memory.take(pageIndices, bounds.pages)
    memory.take(pagePositions, bounds.blockRows > 0 ? bounds.pages : 0)
    memory.take(blockRows, bounds.blockRows)
    memory.take(kvLengths, bounds.requests)
    memory.take(queryOffsets, bounds.requests + 1)
    memory.take(queryLengths, bounds.requests)
    memory.take(requestKeys, bounds.requests)
    memory.take(rowRequests, bounds.queryRows)
    memory.take(rowPositions, bounds.queryRows)
    memory.take(queryRows, bounds.queryRows + capacity.sharedRows)
    sharedRuns.place(&memory, capacity)
    schedule.place(&memory, capacity)
  }

  /// Checks that a batch is within the bounds, if there are any, and that it can be counted.
  func check(_ batch: AttentionBatch) throws(Failure) {
    let rows = batch.queries.total
    let (packed, overflow) = rows.multipliedReportingOverflow(by: shape.groupSize)
    guard !overflow, packed < Int(Int32.max) / 2, rows * shape.kvHeads < Int(Int32.max) else {
      throw .tooLarge("query rows")
    }
    guard packed / Self.largestTile + batch.requestCount < 1 << 22 else {
      throw .tooLarge("query tiles")
    }
    guard let bounds else { return }
    var needed = bounds
    needed.requests = max(needed.requests, batch.requestCount)
    needed.queryRows = max(needed.queryRows, rows)
    needed.pages = max(needed.pages, batch.rows?.pages.count ?? batch.pages.indices.count)
    let blockRows = batch.rows?.count ?? (batch.isContiguous ? 0 : batch.requestCount)
    needed.blockRows = max(needed.blockRows, blockRows)
    needed.pageSize = max(needed.pageSize, batch.pages.pageSize)
    try check(needed, "requests", \.requests)
    try check(needed, "query rows", \.queryRows)
    try check(needed, "pages", \.pages)
    try check(needed, "tokens of a page", \.pageSize)
    try check(needed, "block rows", \.blockRows)
  }

  /// Checks the pairs that a given decomposition forms.
  func checkShared(rows: Int) throws(Failure) {
    guard var needed = bounds else { return }
    needed.sharedRows = max(needed.sharedRows, rows)
    try check(needed, "shared rows", \.sharedRows)
  }

  private func check(
    _ needed: AttentionBounds, _ name: String, _ value: KeyPath<AttentionBounds, Int>
  ) throws(Failure) {
    guard let bounds, needed[keyPath: value] > bounds[keyPath: value] else { return }
    throw .bound(
      name, limit: bounds[keyPath: value], needed: needed[keyPath: value],
      workspace: try workspaceSize(for: needed))
  }
}

extension AttentionPlan {
  /// Where everything lies that a run reads or writes, cache and matrices aside.
  package var addresses: [UnsafeRawPointer] {
    [
      .init(pageOffsets.base), .init(pageIndices.base), .init(pagePositions.base),
      .init(blockRows.base), .init(kvLengths.base),
      .init(queryOffsets.base), .init(queryLengths.base), .init(requestKeys.base),
      .init(rowRequests.base), .init(rowPositions.base), .init(queryRows.base),
      .init(workspace.partialOutput), .init(workspace.partialLSE),
    ] + schedule.addresses + sharedRuns.addresses
  }
}
