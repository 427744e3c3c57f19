/// Who holds which page: a count of holders for each, and the pages that nobody holds.
///
/// A page of the prefix cache counts the cache as one holder; where it is the only one the page can
/// be had back.
package struct PagePool: Sendable {
  /// Tokens of a page.
  package let pageSize: Int
  private var holders: [Int32]
  private var isCached: [Bool]
  private var free: [Int32]
  /// Pages that nobody but the prefix cache holds.
  package private(set) var evictableCount = 0

  /// A pool of which nobody holds a page.
  package init(pageCount: Int, pageSize: Int) {
    self.pageSize = pageSize
    holders = [Int32](repeating: 0, count: pageCount)
    isCached = [Bool](repeating: false, count: pageCount)
    // The first pages are given out first, so that memory is touched as it is needed.
    free = (0..<Int32(pageCount)).reversed()
  }

  /// The number of pages.
  package var pageCount: Int { holders.count }
  /// Pages that nobody holds.
  package var freeCount: Int { free.count }
  /// Pages that are free or can be had back from the cache.
  package var availableCount: Int { free.count + evictableCount }
  /// The holders of a page.
  package func holderCount(_ page: Int32) -> Int { Int(holders[Int(page)]) }

  /// A page that nobody held, now held once.
  package mutating func take() -> Int32? {
    guard let page = free.popLast() else { return nil }
    holders[Int(page)] = 1
    return page
  }

  /// One more holder of a page that somebody holds.
  package mutating func retain(_ page: Int32) {
    let i = Int(page)
    if isCached[i], holders[i] == 1 { evictableCount -= 1 }
    holders[i] += 1
  }

  /// One holder less; a page without holders is free.
  package mutating func release(_ page: Int32) {
    let i = Int(page)
    holders[i] -= 1
    if holders[i] == 0 { free.append(page) }
    if isCached[i], holders[i] == 1 { evictableCount += 1 }
  }

  /// The prefix cache becomes a holder.
  package mutating func cache(_ page: Int32) {
    retain(page)
    isCached[Int(page)] = true
  }

  /// The prefix cache, the only holder, gives the page up.
  package mutating func evict(_ page: Int32) {
    isCached[Int(page)] = false
    evictableCount -= 1
    release(page)
  }

  /// What is wrong with the counts, given how often sequences hold each page and which ones the
  /// cache holds.
  package func inconsistency(held: [Int32: Int], cached: Set<Int32>) -> String? {
    for page in 0..<Int32(pageCount) {
      let expected = held[page, default: 0] + (cached.contains(page) ? 1 : 0)
      guard holderCount(page) == expected else {
        return "page \(page) counts \(holderCount(page)) holders; found \(expected)"
      }
      guard isCached[Int(page)] == cached.contains(page) else {
        return "page \(page) is \(isCached[Int(page)] ? "" : "not ")marked as cached"
      }
    }
    let unheld = (0..<Int32(pageCount)).filter { holderCount($0) == 0 }
    guard free.sorted() == unheld else {
      return "\(free.count) pages are listed as free; \(unheld.count) have no holder"
    }
    let evictable = cached.count { held[$0] == nil }
    guard evictable == evictableCount else {
      return "\(evictableCount) pages count as evictable; found \(evictable)"
    }
    return nil
  }
}
