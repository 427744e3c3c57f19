internal import Tensors

extension AttentionPlan {
  /// Plans a batch, replacing the one before.
  ///
  /// Reuses the storage of earlier batches; without bounds, the workspace grows where a batch needs
  /// more than any before it. After an error the plan has no batch.
  ///
  /// - Parameters:
  ///   - batch: The requests of the step.
  ///   - tensors: The data of the variant's tensor parameters and masks for this batch. Data that
  ///     differs from layer to layer may be replaced by ``bind(_:)``.
  ///   - composition: How the batch is decomposed; by default as the plan was made.
  public func update(
    _ batch: AttentionBatch, tensors: VariantTensors? = nil, composition: Composition? = nil
  ) throws(Failure) {
    queryCount = 0
    schedule.removeAllTiles()
    try check(batch)
    parameters.begin(batch)
    if let tensors { try take(tensors) }
    lower()
    take(batch)
    if batch.isContiguous {
      blockRows.removeAll()
      takePages(of: batch.pages)
    } else {
      try takeBlockRows(of: batch)
    }
    planned = composition ?? self.composition
    try distribute()
    queryCount = batch.queries.total
  }

  /// Replaces the data of tensor parameters and masks, by name; others keep theirs.
  ///
  /// To be called after `update`, before the next run: for data that differs from layer to layer,
  /// as scales of stored keys. Shapes are checked against the planned batch.
  public func bind(_ tensors: VariantTensors) throws(Failure) {
    try take(tensors)
    // Which tensors have data may decide which keys are read.
    if lower() { try distribute() }
  }

  private func take(_ tensors: VariantTensors) throws(Failure) {
    do throws(AttentionVariant.Invalid) {
      try parameters.bind(tensors)
    } catch {
      throw .variant(error)
    }
  }

  /// Lowers the variant again where other nullable parameters have data than before.
  @discardableResult
  private func lower() -> Bool {
    if parameters.bound == code.bound { return false }
    code = VariantCode(variant, shape, bound: parameters.bound, parameters.data, on: device)
    variantMemory = VariantMemory(code.needs, shape: shape, on: device)
    workspace.attach(variantMemory.scratches)
    return true
  }

  /// Cuts the batch that has been taken into tiles and these into work.
  private func distribute() throws(Failure) {
    code.reserveTables(
      kvLengths: kvLengths.elements, queryLengths: queryLengths.elements, shape, on: device)
    schedule.removeAllTiles()
    queryRows.setCount(rowRequests.count)
    for request in 0..<queryLengths.count {
      let length = Int(queryLengths.base[request])
      requestKeys.base[request] =
        length > 0 ? keys(of: request, 0..<length) : KeyRange(first: 0, end: 0)
    }
    try compose(planned)
    if schedule.rule == .invariant { try checkInvariantStates() }
    let queries = tileQueries
    for row in blockRows.elements { addTiles(of: row, queries: queries) }
    for run in sharedRuns.runs.elements { addTiles(of: run, queries: queries) }
    if blockRows.count == 0 {
      for request in 0..<queryLengths.count { addTiles(of: request, queries: queries) }
    }
    guard schedule.work < 0x1p60 else { throw .tooLarge("scores") }
    schedule.distribute(
      queryRows: queryRows.base, queryCount: rowRequests.count, mostKeys: code.bounds.mostKeys)
    workspace.reserve(states: schedule.stateCount)
  }

  /// The runs that the planned batch reads together.
  public var readTogether: [SharedRun] {
    sharedRuns.runs.elements.map { run in
      SharedRun(
        requests: (Int(run.first)..<Int(run.end)).map { Int(sharedRuns.members.base[$0]) },
        keys: Int(run.kvFirst)..<Int(run.kvEnd))
    }
  }

  /// The requests whose queries a tile holds.
  package func requests(of tile: QueryTile) -> [Int] {
    let queries = max(Int(tile.rowCount) / shape.groupSize, 1)
    let rows = (0..<queries).map { queryRows.base[Int(tile.firstQuery) + $0] }
    return Set(rows.map { Int(rowRequests.base[Int($0)]) }).sorted()
  }

  /// Copies what a run reads of a batch to where it reads it.
  private func take(_ batch: AttentionBatch) {
    let requests = batch.requestCount
    pageSize = batch.pages.pageSize
    pageOffsets.assign(batch.pages.offsets)
    kvLengths.assign(batch.pages.kvLengths)
    queryOffsets.setCount(requests + 1)
    queryLengths.setCount(requests)
    requestKeys.setCount(requests)
    rowRequests.setCount(batch.queries.total)
    rowPositions.setCount(batch.queries.total)
    queryRows.setCount(batch.queries.total)
    batch.queries.offsets.withUnsafeBufferPointer { offsets in
      for request in 0..<requests {
        let (first, end) = (offsets[request], offsets[request + 1])
        queryOffsets.base[request] = Int32(truncatingIfNeeded: first)
        queryLengths.base[request] = Int32(truncatingIfNeeded: end - first)
        let position = kvLengths.base[request] - Int32(truncatingIfNeeded: end - first)
        for row in first..<end {
          rowRequests.base[row] = Int32(truncatingIfNeeded: request)
          rowPositions.base[row] = position + Int32(truncatingIfNeeded: row - first)
          queryRows.base[row] = Int32(truncatingIfNeeded: row)
        }
      }
      queryOffsets.base[requests] = Int32(truncatingIfNeeded: batch.queries.total)
    }
  }

  /// Copies the pages and notes the largest.
  func takePages(of table: PageTable) {
    pageIndices.assign(table.indices)
    largestPage = table.largestPage
  }

  private func compose(_ composition: Composition) throws(Failure) {
    let requests = queryLengths.count
    let batch = SharedRuns.Batch(
      pageSize: pageSize, pageOffsets: pageOffsets.base, pageIndices: pageIndices.base,
      kvLengths: kvLengths.base, queryLengths: queryLengths.base, keys: requestKeys.base,
      requestCount: requests)
    if schedule.rule == .invariant {
      if case .explicit = composition { throw .invariantComposition }
      return sharedRuns.clear(requestCount: requests)
    }
    if blockRows.count > 0 {
      if case .explicit = composition { throw .blockRowComposition }
      return sharedRuns.clear(requestCount: requests)
    }
    switch composition {
    case .off: sharedRuns.clear(requestCount: requests)
    case .automatic where code.keysDependOnRequest || code.bounds.hasGaps:
      // Keys are the request's own, or few of them are read.
      sharedRuns.clear(requestCount: requests)
    case .automatic:
      let benefit = SharingBenefit(
        cost: schedule.cost, group: shape.groupSize,
        tileQueries: max(Self.largestTile / shape.groupSize, 1), kvHeads: shape.kvHeads)
      // Partial states are counted in 32 bits.
      let countable = Int(Int32.max) / (4 * shape.queryHeads)
      sharedRuns.find(batch, benefit, limit: min(bounds?.sharedRows ?? countable, countable))
    case .explicit(let runs):
      if code.keysDependOnRequest, runs.contains(where: { $0.requests.count > 1 }) {
        throw .keysOfRequest(variant.name)
      }
      let pairs = runs.reduce(0) { sum, run in
        run.requests.reduce(sum) {
          $0 + ((0..<requests).contains($1) ? Int(queryLengths.base[$1]) : 0)
        }
      }
      try checkShared(rows: pairs)
      guard pairs < Int(Int32.max) / (4 * shape.queryHeads) else { throw .tooLarge("shared rows") }
      do {
        try sharedRuns.take(runs, batch)
      } catch {
        throw .composition(error)
      }
    }
  }

  /// The states of invariant chunks must be countable in 32 bits.
  private func checkInvariantStates() throws(Failure) {
    var states = 0.0
    func count(keys: Int, queries: Int) {
      guard keys > Schedule.invariantChunk else { return }
      states += Double(keys / Schedule.invariantChunk + 2) * Double(queries)
    }
    for (request, keys) in requestKeys.elements.enumerated() {
      count(keys: Int(keys.end), queries: Int(queryLengths.base[request]))
    }
    for row in blockRows.elements {
      count(keys: Int(kvLengths.base[Int(row.request)]), queries: Int(row.queries))
    }
    guard states * Double(shape.queryHeads) < Double(Int32.max) else {
      throw .tooLarge("partial states")
    }
  }

  /// The queries of a tile, whole ones where a group fits a tile.
  private var tileQueries: Int {
    let largest = max(Self.largestTile / shape.groupSize, 1)
    let requests = queryLengths.count
    guard tileRule == .ofAverage, requests > 0 else { return largest }
    let average = (rowRequests.count * shape.groupSize + requests - 1) / requests
    var rows = 1
    while rows < average, rows < Self.largestTile { rows *= 2 }
    return max(rows / shape.groupSize, 1)
  }

  /// The keys that the bounds leave to some of a request's queries.
  private func keys(of request: Int, _ queries: Range<Int>) -> KeyRange {
    let kvLength = Int(kvLengths.base[request])
    let queryLength = Int(queryLengths.base[request])
    let start = kvLength - queryLength
    let keys = code.bounds.keys(
      queries: start + queries.lowerBound...start + queries.upperBound - 1, kvLength: kvLength,
      queryLength: queryLength)
    return KeyRange(first: Int32(keys.lowerBound), end: Int32(keys.upperBound))
  }

  /// Cuts a request's queries into tiles, and leaves out the keys that the bounds exclude and those
  /// that it reads together with others.
  private func addTiles(of request: Int, queries: Int) {
    let length = Int(queryLengths.base[request])
    let first = Int(queryOffsets.base[request])
    let shared = sharedRuns.ends.base[request]
    var tile = QueryTile(
      rowCount: 0, pages: pageOffsets.base[request], kvFirst: 0, kvEnd: 0, isSole: shared == 0)
    for query in stride(from: 0, to: length, by: queries) {
      let end = min(query + queries, length)
      let range = KeyRange(first: shared, end: .max)
      let rows = first + query..<first + end
      if code.bounds.hasGaps {
        let segments = segments(of: request, query..<end).filter { $0.end > shared }
        tile.isSole = shared == 0 && segments.count < 2
        for keys in segments { add(&tile, rows: rows, keys, from: range) }
        if segments.isEmpty {
          add(&tile, rows: rows, KeyRange(first: shared, end: shared), from: range)
        }
      } else {
        let keys =
          end - query == length ? requestKeys.base[request] : keys(of: request, query..<end)
        add(&tile, rows: rows, keys, from: range)
      }
    }
  }

  /// The runs of keys that a disjunction, as sinks or a window, leaves to some of a request's
  /// queries.
  private func segments(of request: Int, _ queries: Range<Int>) -> [KeyRange] {
    let kvLength = Int(kvLengths.base[request])
    let queryLength = Int(queryLengths.base[request])
    let start = kvLength - queryLength
    return code.bounds.segments(
      queries: start + queries.lowerBound...start + queries.upperBound - 1, kvLength: kvLength,
      queryLength: queryLength, granule: schedule.granule, gap: AttentionWorkspace.tileKeys
    ).map { KeyRange(first: Int32($0.lowerBound), end: Int32($0.upperBound)) }
  }

  /// The keys of all tiles together, for one key/value head: what the schedule counts.
  package var plannedKeys: Int { schedule.tiles.elements.reduce(0) { $0 + $1.length } }

  /// Cuts the queries of all requests of a run into tiles.
  private func addTiles(of run: SharedRuns.Run, queries: Int) {
    let range = KeyRange(first: run.kvFirst, end: run.kvEnd)
    let leader = Int(sharedRuns.members.base[Int(run.first)])
    var tile = QueryTile(
      rowCount: 0, pages: pageOffsets.base[leader], kvFirst: 0, kvEnd: 0, isSole: false)
    var first = queryRows.count
    var keys = KeyRange(first: 0, end: 0)
    for member in Int(run.first)..<Int(run.end) {
      let request = Int(sharedRuns.members.base[member])
      let length = Int(queryLengths.base[request])
      var query = 0
      while query < length {
        let count = min(queries - (queryRows.count - first), length - query)
        let own =
          count == length
          ? requestKeys.base[request] : self.keys(of: request, query..<query + count)
        let part = own.clamped(to: range)
        if !part.isEmpty { keys = keys.joined(with: part) }
        for i in 0..<count { queryRows.append(queryOffsets.base[request] + Int32(query + i)) }
        query += count
        if queryRows.count - first == queries {
          add(&tile, rows: first..<queryRows.count, keys, from: range)
          (first, keys) = (queryRows.count, KeyRange(first: 0, end: 0))
        }
      }
    }
    if queryRows.count > first { add(&tile, rows: first..<queryRows.count, keys, from: range) }
  }

  /// Adds the tiles of some entries of `queryRows`: one, or several where a group is taller than a
  /// tile.
  ///
  /// - Parameter range: Where reading may begin; beginning on a granule it reads keys that the
  ///   bounds exclude.
  private func add(
    _ tile: inout QueryTile, rows: Range<Int>, _ keys: KeyRange, from range: KeyRange
  ) {
    // Invariant tiles of keys begin where those of any other query do.
    let granule = Int32(
      schedule.rule == .invariant ? AttentionWorkspace.tileKeys : schedule.granule)
    let packed = rows.count * shape.groupSize
    tile.firstQuery = Int32(truncatingIfNeeded: rows.lowerBound)
    tile.kvFirst = max(keys.first / granule * granule, range.first)
    tile.kvEnd = max(min(keys.end, range.end), tile.kvFirst)
    for member in stride(from: 0, to: packed, by: Self.largestTile) {
      tile.firstMember = Int32(truncatingIfNeeded: member)
      tile.rowCount = Int32(truncatingIfNeeded: min(packed - member, Self.largestTile))
      schedule.add(tile)
    }
  }
}
