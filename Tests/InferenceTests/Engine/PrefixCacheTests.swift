import Inference
import Tensors
import Testing
import Tokenizers

/// The page pool and the radix tree over token ids, against plain lists.
@Suite(.timeLimit(.minutes(20))) struct PrefixCacheTests {
  /// Sequences over three letters share beginnings often.
  @Test(arguments: [1, 2, 4], 0..<6)
  func agreesWithAList(pageSize: Int, seed: Int) {
    var random = SplitMix(state: UInt64(seed))
    var pool = PagePool(pageCount: 60, pageSize: pageSize)
    var cache = PrefixCache(pageSize: pageSize)
    // What is known to be cached: beginnings of whole pages and the page that ends each.
    var held: [(tokens: [TokenID], pages: [Int32])] = []
    for _ in 0..<400 {
      switch Int.random(in: 0..<4, using: &random) {
      case 0, 1:
        let length = Int.random(in: 1...(8 * pageSize), using: &random)
        let tokens = (0..<length).map { _ in TokenID.random(in: 0..<2, using: &random) }
        var pages = cache.match(tokens, limit: length)
        #expect(pages.count * pageSize <= length)
        for page in pages { pool.retain(page) }
        // Found pages are those of another sequence with the same tokens, where one is still held.
        for other in held {
          let shared = zip(tokens, other.tokens).prefix { $0 == $1 }.count / pageSize
          let count = min(shared, other.pages.count)
          #expect(pages.count >= count && pages[..<count] == other.pages[..<count])
        }
        while (pages.count + 1) * pageSize <= length {
          if pool.freeCount == 0 { cache.evict(2, from: &pool) }
          guard let page = pool.take() else { break }
          pages.append(page)
        }
        let whole = pages.count * pageSize
        let kept = cache.insert(tokens[..<whole], pages: pages[...], into: &pool)
        #expect(kept == pages)
        held.append((Array(tokens[..<whole]), pages))
      case 2 where !held.isEmpty:
        let i = Int.random(in: 0..<held.count, using: &random)
        for page in held.remove(at: i).pages { pool.release(page) }
      default:
        let (free, evictable) = (pool.freeCount, pool.evictableCount)
        let count = Int.random(in: 0...5, using: &random)
        cache.evict(count, from: &pool)
        #expect(pool.freeCount == free + min(count, evictable))
      }
      var counts: [Int32: Int] = [:]
      for sequence in held { for page in sequence.pages { counts[page, default: 0] += 1 } }
      #expect(cache.inconsistency == nil)
      #expect(pool.inconsistency(held: counts, cached: Set(cache.pages)) == nil)
    }
    for sequence in held { for page in sequence.pages { pool.release(page) } }
    cache.evict(60, from: &pool)
    #expect(pool.freeCount == 60 && cache.pages.isEmpty)
  }

  @Test func theLongestUnusedGoesFirst() {
    var pool = PagePool(pageCount: 6, pageSize: 1)
    var cache = PrefixCache(pageSize: 1)
    for tokens: [TokenID] in [[1, 2], [3, 4], [5, 6]] {
      let pages = tokens.compactMap { _ in pool.take() }
      _ = cache.insert(tokens[...], pages: pages[...], into: &pool)
      for page in pages { pool.release(page) }
    }
    #expect(cache.match([1, 2, 9], limit: 3).count == 2)
    cache.evict(3, from: &pool)
    #expect(cache.match([3, 4], limit: 2).isEmpty)
    #expect(cache.match([5, 6], limit: 2).count == 1)
    #expect(cache.match([1, 2], limit: 2).count == 2)
    #expect(cache.match([1, 2], limit: 1).count == 1)
  }

  /// Two sequences that computed the same tokens end up with one copy.
  @Test func copiesBecomeOne() {
    var pool = PagePool(pageCount: 4, pageSize: 2)
    var cache = PrefixCache(pageSize: 2)
    let first = [pool.take(), pool.take()].compactMap(\.self)
    let second = [pool.take(), pool.take()].compactMap(\.self)
    #expect(cache.insert([1, 2, 3, 4], pages: first[...], into: &pool) == first)
    #expect(cache.insert([1, 2, 5, 6], pages: second[...], into: &pool) == [first[0], second[1]])
    #expect(cache.inconsistency == nil)
  }

  /// The checks find what they are for.
  @Test func mistakesAreFound() {
    var pool = PagePool(pageCount: 3, pageSize: 1)
    var cache = PrefixCache(pageSize: 1)
    let page = pool.take() ?? -1
    _ = cache.insert([7], pages: [page], into: &pool)
    #expect(pool.inconsistency(held: [page: 1], cached: [page]) == nil)
    #expect(pool.inconsistency(held: [:], cached: [page]) != nil)
    #expect(pool.inconsistency(held: [page: 2], cached: []) != nil)
    #expect(pool.inconsistency(held: [page: 1, 1 - page: 1], cached: [page]) != nil)
    pool.retain(page)
    #expect(pool.inconsistency(held: [page: 1], cached: [page]) != nil)
    // A page that two sequences put under different tokens.
    _ = cache.insert([8], pages: [page], into: &pool)
    #expect(cache.inconsistency != nil)
  }
}
