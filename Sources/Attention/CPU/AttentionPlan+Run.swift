internal import CMicrokernels
internal import Devices
public import Tensors

/// Where a run leaves the log-sum-exp of every query and head, and in which base.
public enum LogSumExpOutput: Sendable {
  /// Natural logarithms, `queries × queryHeads`.
  case natural(MatrixView)
  /// Base 2, FlashInfer's convention, `queries × queryHeads`.
  case base2(MatrixView)
}

extension AttentionPlan {
  /// Computes attention for the planned batch with one layer's tensors.
  ///
  /// A query that attends to nothing gives exactly 0, with a log-sum-exp of −∞, or that of the
  /// variant's sinks. A variant without softmax has no log-sum-exp. Allocates nothing.
  ///
  /// - Parameters:
  ///   - queries: `queries × (queryHeads · headDimension)`, head after head.
  ///   - cache: The layer's keys and values, the new tokens' among them.
  ///   - output: `queries × (queryHeads · valueDimension)`; written, not read.
  ///   - lse: Also written where given.
  public func run(
    queries: MatrixView, cache: PagedKVCache, output: MatrixView, lse: LogSumExpOutput? = nil
  ) throws(Failure) {
    try check(queries, "queries", columns: shape.queryHeads * shape.headDimension)
    try check(output, "output", columns: shape.queryHeads * shape.valueDimension)
    switch lse {
    case .natural(let view), .base2(let view):
      try check(view, "log-sum-exp", columns: shape.queryHeads)
    case nil: break
    }
    if lse != nil && !variant.usesSoftmax { throw .noLogSumExp(variant.name) }
    if queryCount == 0 { return }
    if let missing = parameters.missing { throw .variant(.unbound(missing)) }
    try check(cache)
    var launch = Launch(self, queries: queries, cache: cache, output: output, lse: lse)
    withUnsafeMutablePointer(to: &launch) { launch in
      if schedule.isSmall {
        launch.pointee.attend(thread: 0)
        launch.pointee.merge(thread: 0)
        return
      }
      device.pool.forkJoin(launch) { context, thread in
        context.assumingMemoryBound(to: Launch.self).pointee.attend(thread: thread)
      }
      guard schedule.merges.count > 0 else { return }
      device.pool.forkJoin(launch) { context, thread in
        context.assumingMemoryBound(to: Launch.self).pointee.merge(thread: thread)
      }
    }
  }

  private func check(_ matrix: MatrixView, _ name: String, columns: Int) throws(Failure) {
    guard matrix.rows == queryCount, matrix.columns == columns else {
      throw .matrix(
        name, expected: [queryCount, columns], found: [matrix.rows, matrix.columns])
    }
  }

  private func check(_ cache: PagedKVCache) throws(Failure) {
    if cache.pageSize != pageSize {
      throw .cache("page size", expected: pageSize, found: cache.pageSize)
    }
    if cache.kvHeads != shape.kvHeads {
      throw .cache("kv heads", expected: shape.kvHeads, found: cache.kvHeads)
    }
    if cache.headDimension != shape.headDimension {
      throw .cache(
        "head dimension", expected: shape.headDimension, found: cache.headDimension)
    }
    if cache.valueDimension != shape.valueDimension {
      throw .cache(
        "value dimension", expected: shape.valueDimension, found: cache.valueDimension)
    }
    if Int(largestPage) >= cache.pageCount { throw missingPage(of: cache) }
  }

  /// The first page that the cache does not have.
  private func missingPage(of cache: PagedKVCache) -> Failure {
    let index = pageIndices.elements.firstIndex { $0 >= cache.pageCount } ?? 0
    let ofRow = blockRows.elements.first {
      (Int($0.firstPage)..<Int($0.firstPage + $0.pages)).contains(index)
    }
    let ofTable = (pageOffsets.elements.firstIndex { $0 > index } ?? 1) - 1
    return .page(
      request: ofRow.map { Int($0.request) } ?? ofTable, index: index,
      value: Int(pageIndices.base[index]), pageCount: cache.pageCount)
  }
}
