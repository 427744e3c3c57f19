internal import Glibc

/// The keys `first ..< end`.
struct KeyRange: BitwiseCopyable {
  var first: Int32
  var end: Int32

  @inline(__always)
  var count: Int { Int(end - first) }
  @inline(__always)
  var isEmpty: Bool { first >= end }

  /// What lies within another range, too; perhaps nothing.
  @inline(__always)
  func clamped(to other: KeyRange) -> KeyRange {
    KeyRange(first: max(first, other.first), end: min(end, other.end))
  }

  /// The smallest range that holds both, where `other` is not empty.
  @inline(__always)
  func joined(with other: KeyRange) -> KeyRange {
    isEmpty ? other : KeyRange(first: min(first, other.first), end: max(end, other.end))
  }
}

/// The runs of keys that are read together, found or given.
///
/// Finding walks the requests' page lists as a radix tree without building one: a node is a range
/// of requests that agree up to some page. Following the longest of them visits a whole path of the
/// tree at the price of comparing each other request with it once. A batch that shares nothing
/// costs one hash of each request's first page.
final class SharedRuns {
  /// Keys that several requests read together.
  struct Run: BitwiseCopyable {
    var kvFirst: Int32
    var kvEnd: Int32
    /// Its requests are `members[first ..< end]`.
    var first: Int32
    var end: Int32
  }

  /// Runs; those of earlier keys come before later ones of the same request.
  let runs = Section<Run>()
  let members = Section<Int32>()
  /// Where the keys that runs cover end, of each request.
  let ends = Section<Int32>()

  // The walk: requests in the order of the nodes still to visit.
  let order = Section<Int32>()
  let nodes = Section<Node>()
  // One node's requests along the path of the longest.
  let keys = Section<UInt64>()
  let paths = Section<Path>()
  // One node's children by their first page.
  let table = Section<Int32>()
  let pages = Section<Int32>()
  let counts = Section<Int32>()
  let groups = Section<Int32>()
  let sorted = Section<Int32>()

  /// Requests `order[first ..< end]`, which agree in pages `0 ... depth`.
  struct Node: BitwiseCopyable {
    var first: Int32
    var end: Int32
    var depth: Int32
    /// The first key that no run above covers.
    var kvFirst: Int32
  }

  /// Of a request and all that go further along a path: the pages in common, and sums.
  struct Path: BitwiseCopyable {
    var pages: Int32
    /// The keys that everybody's bounds allow.
    var kvFirst: Int32
    var kvEnd: Int32
    var queries: Int
    /// The cost of a key that everybody reads for himself.
    var perKey: Int
  }

  /// What finding needs to know of a batch.
  struct Batch {
    let pageSize: Int
    let pageOffsets: UnsafePointer<Int32>
    let pageIndices: UnsafePointer<Int32>
    let kvLengths: UnsafePointer<Int32>
    let queryLengths: UnsafePointer<Int32>
    /// The keys that the bounds leave to each request.
    let keys: UnsafePointer<KeyRange>
    let requestCount: Int

    /// The pages of a request that are full.
    @inline(__always)
    func fullPages(_ request: Int32) -> Int { Int(kvLengths[Int(request)]) / pageSize }

    @inline(__always)
    func page(_ request: Int32, _ depth: Int) -> UnsafePointer<Int32> {
      pageIndices + Int(pageOffsets[Int(request)]) + depth
    }
  }

  /// Every request for itself.
  func clear(requestCount: Int) {
    runs.removeAll()
    members.removeAll()
    ends.fill(0, count: requestCount)
  }

  /// Finds the runs that it pays to read together.
  ///
  /// - Parameter limit: The most (query, run) pairs: each costs partial states.
  func find(_ batch: Batch, _ benefit: SharingBenefit, limit: Int) {
    clear(requestCount: batch.requestCount)
    order.removeAll()
    nodes.removeAll()
    for request in 0..<Int32(batch.requestCount)
    where batch.queryLengths[Int(request)] > 0 && batch.fullPages(request) > 0 {
      order.append(request)
    }
    var left = limit
    pushChildren(of: 0..<order.count, depth: 0, kvFirst: 0, batch)
    while let node = nodes.popLast() { visit(node, batch, benefit, limit: &left) }
  }

  /// Follows the longest request of a node: the runs that it shares with ever fewer others.
  ///
  /// Requests that leave its path together are a node of their own.
  private func visit(_ node: Node, _ batch: Batch, _ benefit: SharingBenefit, limit: inout Int) {
    let first = Int(node.first)
    sortByAgreement(first..<Int(node.end), depth: Int(node.depth), batch, benefit)
    var kvFirst = node.kvFirst
    var count = paths.count
    while count > 1 {
      let pages = paths.base[count - 1].pages
      let run = KeyRange(first: kvFirst, end: pages * Int32(batch.pageSize))
      if add(run, of: first..<first + count, batch, benefit, limit: &limit) { kvFirst = run.end }
      var staying = count
      while staying > 0, paths.base[staying - 1].pages == pages { staying -= 1 }
      pushChildren(
        of: first + staying..<first + count, depth: Int(pages), kvFirst: kvFirst, batch)
      count = staying
    }
  }

  /// Sorts a node's requests by the pages they have in common with the longest of them, the most
  /// first, and sums up what adding runs wants to know.
  private func sortByAgreement(
    _ range: Range<Int>, depth: Int, _ batch: Batch, _ benefit: SharingBenefit
  ) {
    var leader = order.base[range.lowerBound]
    for i in range where batch.fullPages(order.base[i]) > batch.fullPages(leader) {
      leader = order.base[i]
    }
    let (path, length) = (batch.page(leader, 0), batch.fullPages(leader))
    keys.setCount(range.count)
    for (i, place) in range.enumerated() {
      let request = order.base[place]
      let pages = Self.agreement(
        path, batch.page(request, 0), from: depth + 1, to: min(length, batch.fullPages(request)))
      keys.base[i] = UInt64(UInt32.max - UInt32(pages)) << 32 | UInt64(request)
    }
    var sorted = keys.elements
    sorted.sort()
    paths.setCount(range.count)
    var sum = Path(pages: 0, kvFirst: 0, kvEnd: .max, queries: 0, perKey: 0)
    for (i, key) in keys.elements.enumerated() {
      let request = Int(key & 0xFFFF_FFFF)
      order.base[range.lowerBound + i] = Int32(request)
      let (allowed, queries) = (batch.keys[request], Int(batch.queryLengths[request]))
      sum.pages = Int32(UInt32.max - UInt32(key >> 32))
      sum.kvFirst = max(sum.kvFirst, allowed.first)
      sum.kvEnd = min(sum.kvEnd, allowed.end)
      sum.queries += queries
      sum.perKey += benefit.perKey(queries: queries)
      paths.base[i] = sum
    }
  }

  /// Pushes the groups of at least two requests of a range that agree in page `depth`.
  private func pushChildren(of range: Range<Int>, depth: Int, kvFirst: Int32, _ batch: Batch) {
    guard range.count > 1 else { return }
    let bits = Int.bitWidth - (range.count - 1).leadingZeroBitCount + 1
    table.fill(-1, count: 1 << bits)
    pages.removeAll()
    counts.removeAll()
    groups.removeAll()
    for i in range {
      let request = order.base[i]
      guard batch.fullPages(request) > depth else {
        groups.append(-1)
        continue
      }
      let page = batch.page(request, depth).pointee
      var slot = Int((UInt32(bitPattern: page) &* 0x9E37_79B1) >> UInt32(32 - bits))
      while table.base[slot] >= 0, pages.base[Int(table.base[slot])] != page {
        slot = (slot + 1) & (1 << bits - 1)
      }
      if table.base[slot] < 0 {
        table.base[slot] = Int32(pages.count)
        pages.append(page)
        counts.append(0)
      }
      groups.append(table.base[slot])
      counts.base[Int(table.base[slot])] += 1
    }
    if pages.count == range.count { return }
    sortByGroup(range)
    // Each group's count has become its end; the first group is to be visited first.
    for group in (0..<pages.count).reversed() {
      let first = group == 0 ? 0 : counts.base[group - 1]
      let end = counts.base[group]
      guard end - first > 1 else { continue }
      let start = Int32(range.lowerBound)
      nodes.append(
        Node(first: start + first, end: start + end, depth: Int32(depth), kvFirst: kvFirst))
    }
  }

  /// Brings the requests of a range into the order of their groups, those of none last.
  private func sortByGroup(_ range: Range<Int>) {
    var total: Int32 = 0
    for group in 0..<pages.count {
      (counts.base[group], total) = (total, total + counts.base[group])
    }
    sorted.setCount(range.count)
    for (i, group) in groups.elements.enumerated() {
      let request = order.base[range.lowerBound + i]
      if group < 0 {
        sorted.base[Int(total)] = request
        total += 1
      } else {
        sorted.base[Int(counts.base[Int(group)])] = request
        counts.base[Int(group)] += 1
      }
    }
    (order.base + range.lowerBound).update(from: sorted.base, count: range.count)
  }

  /// The first index from `start` at which two lists differ; `end` where they do not.
  static func agreement(
    _ a: UnsafePointer<Int32>, _ b: UnsafePointer<Int32>, from start: Int, to end: Int
  ) -> Int {
    var i = start
    while i + 64 <= end, memcmp(a + i, b + i, 256) == 0 { i += 64 }
    while i < end, a[i] == b[i] { i += 1 }
    return max(i, min(start, end))
  }

  /// Adds a run where it pays; leaves out requests whose bounds exclude all of it.
  private func add(
    _ run: KeyRange, of range: Range<Int>, _ batch: Batch, _ benefit: SharingBenefit,
    limit: inout Int
  ) -> Bool {
    let sum = paths.base[range.count - 1]
    if sum.kvFirst <= run.first, sum.kvEnd >= run.end {
      // Everybody reads all of it: the usual case needs no look at anybody.
      guard
        benefit.pays(
          separate: sum.perKey * run.count, queries: sum.queries, keys: run.count,
          isShared: run.first > 0), sum.queries <= limit
      else { return false }
    }
    let first = members.count
    var (queries, separate, union) = (0, 0, KeyRange(first: 0, end: 0))
    for i in range {
      let request = order.base[i]
      let keys = batch.keys[Int(request)].clamped(to: run)
      if keys.isEmpty { continue }
      members.append(request)
      queries += Int(batch.queryLengths[Int(request)])
      separate += benefit.perKey(queries: Int(batch.queryLengths[Int(request)])) * keys.count
      union = union.joined(with: keys)
    }
    guard members.count - first > 1, queries <= limit,
      benefit.pays(
        separate: separate, queries: queries, keys: union.count, isShared: run.first > 0)
    else {
      members.removeLast(members.count - first)
      return false
    }
    limit -= queries
    runs.append(
      Run(
        kvFirst: run.first, kvEnd: run.end, first: Int32(first), end: Int32(members.count)))
    for i in first..<members.count { ends.base[Int(members.base[i])] = run.end }
    return true
  }

  /// Takes runs that were given, after checking them.
  func take(_ given: [SharedRun], _ batch: Batch) throws(SharedRun.Invalid) {
    clear(requestCount: batch.requestCount)
    for number in given.indices.sorted(by: {
      (given[$0].keys.lowerBound, $0) < (given[$1].keys.lowerBound, $1)
    }) {
      try take(given[number], number: number, batch)
    }
  }

  private func take(_ run: SharedRun, number: Int, _ batch: Batch) throws(SharedRun.Invalid) {
    guard let leader = run.requests.first, Set(run.requests).count == run.requests.count else {
      throw .requests(run: number)
    }
    let first = members.count
    let size = batch.pageSize
    for request in run.requests {
      guard (0..<batch.requestCount).contains(request) else {
        throw .request(request, run: number, requestCount: batch.requestCount)
      }
      let full = batch.fullPages(Int32(request)) * size
      guard run.keys.lowerBound % size == 0, run.keys.upperBound % size == 0,
        run.keys.lowerBound >= 0, run.keys.upperBound <= full, !run.keys.isEmpty
      else {
        throw .keys(run.keys, run: number, request: request, fullKeys: full, pageSize: size)
      }
      guard ends.base[request] == run.keys.lowerBound else {
        throw .gap(
          run: number, request: request, expected: Int(ends.base[request]),
          found: run.keys.lowerBound)
      }
      let (start, end) = (run.keys.lowerBound / size, run.keys.upperBound / size)
      let common = Self.agreement(
        batch.page(Int32(leader), 0), batch.page(Int32(request), 0), from: start, to: end)
      guard common == end else {
        throw .pages(run: number, requests: [leader, request], pageOfRequest: common)
      }
      let keys = batch.keys[request].clamped(
        to: KeyRange(first: Int32(run.keys.lowerBound), end: Int32(run.keys.upperBound)))
      if !keys.isEmpty, batch.queryLengths[request] > 0 { members.append(Int32(request)) }
    }
    for request in run.requests { ends.base[request] = Int32(run.keys.upperBound) }
    guard members.count > first else { return }
    runs.append(
      Run(
        kvFirst: Int32(run.keys.lowerBound), kvEnd: Int32(run.keys.upperBound),
        first: Int32(first), end: Int32(members.count)))
  }
}

extension SharedRuns {
  /// Counts, or takes, the memory of batches within bounds.
  func place(_ memory: inout PlanMemory, _ capacity: PlanCapacity) {
    let (requests, pairs) = (capacity.bounds.requests, capacity.sharedRows)
    memory.take(runs, pairs)
    // A run's members are listed before it is known to pay.
    memory.take(members, pairs + requests)
    memory.take(ends, requests)
    memory.take(order, requests)
    memory.take(nodes, requests)
    memory.take(keys, requests)
    memory.take(paths, requests)
    memory.take(table, 4 * requests)
    memory.take(pages, requests)
    memory.take(counts, requests)
    memory.take(groups, requests)
    memory.take(sorted, requests)
  }
  var addresses: [UnsafeRawPointer] {
    [
      .init(runs.base), .init(members.base), .init(ends.base), .init(order.base),
      .init(nodes.base), .init(keys.base), .init(paths.base), .init(table.base), .init(pages.base),
      .init(counts.base),
      .init(groups.base), .init(sorted.base),
    ]
  }
}
