import LanguageModels
import Tokenizers

// One rule: each step gives every running sequence some of the tokens it has not computed yet,
// within one budget. Prefill, decode, chunks and recomputation are what it looks like from outside.
// While some sequence generates, what others take beyond their first token has a budget of its own.
extension EngineLoop {
  /// Decides how many rows each sequence brings, and finds pages for them.
  ///
  /// - Returns: The rows that are left.
  func schedule() -> Int {
    var budget = options.tokenBudget
    // Everyone goes on by at least one token before anyone takes more, in the order of arrival.
    let count = min(running.count, budget)
    var rows = running.prefix(count).map { min(1, uncomputed(of: $0)) }
    budget -= rows.reduce(0, +)
    let isGenerating = running.prefix(count).contains { $0.generated > 0 || $0.unseen != nil }
    var chunks = isGenerating ? min(budget, options.prefillBudget) : budget
    budget -= chunks
    for i in rows.indices where chunks > 0 {
      let more = min(mostRows(of: running[i]) - rows[i], chunks)
      rows[i] += more
      chunks -= more
    }
    let preempted = statistics.preemptions
    var i = 0
    // Preemption takes sequences from the end of the list.
    while i < running.count {
      let sequence = running[i]
      if i < rows.count, rows[i] > 0, reservePages(for: sequence, rows: rows[i]) {
        sequence.scheduled = rows[i]
      }
      if i < running.count, running[i] === sequence { i += 1 }
    }
    if statistics.preemptions == preempted { admit(&chunks) }
    return budget + chunks
  }

  /// The rows that a sequence could bring to a step.
  private func mostRows(of sequence: EngineSequence) -> Int {
    let rows = uncomputed(of: sequence)
    guard let streaming else { return rows }
    return min(rows, streaming.end(of: sequence.computed) - sequence.computed)
  }

  /// The tokens of a sequence that are to be computed; of one that ends with the token which is not known
  /// yet, none.
  private func uncomputed(of sequence: EngineSequence) -> Int {
    if sequence.unseen != nil, isFull(sequence, sequence.length) { return 0 }
    return sequence.length - sequence.computed
  }

  /// Whether a sequence of so many tokens has no room, or no leave, for more.
  func isFull(_ sequence: EngineSequence, _ length: Int) -> Bool {
    let request = sequence.owner.request
    // The last token needs no place in the cache.
    return length - request.prompt.count >= request.maxTokens
      || streaming == nil && length > limits.context
  }

  /// Makes sequences that wait run, as long as rows, places and pages last.
  private func admit(_ budget: inout Int) {
    var places = options.maxRunning - running.reduce(0) { $0 + $1.slots }
    var begun = 0
    defer { published.left(begun) }
    while budget > 0, let next = waiting.first, next.slots <= places {
      let owner = next.owner
      let looksUp =
        sharesPrefixes && !owner.request.promptLogprobs && !owner.isEmbedding
      // The last token is always computed: its logits choose the next one.
      let found = looksUp ? cache.match(next.tokens, limit: next.tokens.count - 1) : []
      if looksUp, isBeingComputed(next.tokens, beyond: found.count) { return }
      for page in found { pool.retain(page) }
      let needed = limits.pages(tokens: next.tokens.count) - found.count
      // A page in reserve for each that runs keeps newcomers from being preempted at once.
      guard needed + running.count <= pool.availableCount || running.isEmpty else {
        for page in found { pool.release(page) }
        return
      }
      waiting.removeFirst()
      next.pages = found
      next.cachedPages = found.count
      next.computed = found.count * options.pageSize
      next.draftComputed = next.computed
      if !owner.hasRun {
        owner.hasRun = true
        owner.cachedTokens = next.computed
        mailbox.left()
        begun += 1
        statistics.promptTokens += next.tokens.count
        if looksUp {
          statistics.prefixQueries += next.tokens.count
          statistics.prefixHits += next.computed
        }
      }
      running.append(next)
      places -= next.slots
      let rows = min(mostRows(of: next), budget)
      if reservePages(for: next, rows: rows) {
        next.scheduled = rows
        budget -= rows
      } else {
        return
      }
    }
  }

  /// Whether a sequence that runs is just computing more of the beginning of `tokens` than the first
  /// `pages` pages: then it is worth waiting for, since every step brings it into the cache.
  private func isBeingComputed(_ tokens: [TokenID], beyond pages: Int) -> Bool {
    let start = pages * options.pageSize
    let end = start + options.pageSize
    guard end < tokens.count else { return false }
    return running.contains { other in
      other.generated == 0 && !other.owner.isEmbedding && other.computed <= start
        && other.tokens.count >= end && other.tokens[..<end].elementsEqual(tokens[..<end])
    }
  }

  /// Gives a sequence pages for its next rows, taking them from the cache and from newer sequences
  /// where none is free.
  ///
  /// - Returns: Whether it has them; if not, it was preempted itself.
  private func reservePages(for sequence: EngineSequence, rows: Int) -> Bool {
    if let streaming { drop(streaming.dropped(at: sequence.computed), of: sequence) }
    let first = (sequence.computed - sequence.dropped) / options.pageSize
    let last = sequence.computed - sequence.dropped + rows
    let count = (last + options.pageSize - 1) / options.pageSize
    // What others read too is copied before it is written.
    if first < sequence.pages.count, pool.holderCount(sequence.pages[first]) > 1 {
      guard let copy = takePage(for: sequence) else { return false }
      let shared = sequence.pages[first]
      do {
        try runner.copyPage(Int(shared), to: Int(copy))
        try drafter?.copyPage(Int(shared), to: Int(copy))
      } catch {
        pool.release(copy)
        end(sequence, .failed("\(error)"))
        return false
      }
      sequence.pages[first] = copy
      pool.release(shared)
    }
    while sequence.pages.count < count {
      guard let page = takePage(for: sequence) else { return false }
      sequence.pages.append(page)
    }
    return true
  }

  /// Gives up pages between the sinks and the window, until `dropped` tokens are.
  private func drop(_ dropped: Int, of sequence: EngineSequence) {
    guard dropped > sequence.dropped, let streaming else { return }
    let count = (dropped - sequence.dropped) / options.pageSize
    let pages = streaming.sinkPages..<streaming.sinkPages + count
    for page in sequence.pages[pages] { pool.release(page) }
    sequence.pages.removeSubrange(pages)
    sequence.dropped = dropped
  }

  /// A page that is free, or that only the cache holds.
  func takeUnusedPage() -> Int32? {
    if let page = pool.take() { return page }
    // A few at a time, so that the list of nodes is not walked for every page.
    cache.evict(16, from: &pool)
    return pool.take()
  }

  private func takePage(for sequence: EngineSequence) -> Int32? {
    while true {
      if let page = takeUnusedPage() { return page }
      guard let newest = running.last else { return nil }
      preempt(newest)
      if newest === sequence { return nil }
    }
  }

  /// Takes a sequence's pages and makes it wait; what it computed may still be in the cache when it
  /// runs again, and is computed again where not.
  private func preempt(_ sequence: EngineSequence) {
    statistics.preemptions += 1
    shareComputedPages(of: sequence)
    releasePages(of: sequence)
    sequence.computed = 0
    sequence.draftComputed = 0
    sequence.dropped = 0
    sequence.scheduled = 0
    sequence.pooled = []
    running.removeAll { $0 === sequence }
    let place = waiting.firstIndex { sequence.isOlder(than: $0) } ?? waiting.endIndex
    waiting.insert(sequence, at: place)
  }

  /// Gives the whole pages that a sequence has computed to the prefix cache as well.
  func shareComputedPages(of sequence: EngineSequence) {
    guard sharesPrefixes, !sequence.owner.isEmbedding else { return }
    let computed =
      drafter == nil ? sequence.computed : min(sequence.computed, sequence.draftComputed)
    let count = min(computed / options.pageSize, sequence.pages.count)
    // While it is being generated a page serves nobody else yet: once in a while is enough.
    let isDone =
      sequence.finish != nil || sequence.scheduled == 0 && sequence.generated <= 1
      || count >= sequence.cachedPages + 16
    guard count > sequence.cachedPages, isDone else { return }
    let pages = cache.insert(
      sequence.tokens[..<(count * options.pageSize)], pages: sequence.pages[..<count], into: &pool)
    for (i, page) in pages.enumerated() where page != sequence.pages[i] {
      // The cache had the same tokens already; the copy is given up.
      pool.retain(page)
      pool.release(sequence.pages[i])
      sequence.pages[i] = page
    }
    sequence.cachedPages = count
  }

  func releasePages(of sequence: EngineSequence) {
    for page in sequence.pages { pool.release(page) }
    sequence.pages = []
    sequence.cachedPages = 0
  }
}
