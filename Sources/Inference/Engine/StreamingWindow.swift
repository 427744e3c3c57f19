/// Which pages an endless sequence keeps: those of its first tokens, the attention sinks, and those
/// of its last ones (StreamingLLM: Xiao et al., arXiv 2309.17453, §3.2).
///
/// Pages come and go whole. What a token sees follows from its position alone, not from how steps
/// cut the sequence: for all tokens of a page-sized block it is the sinks' pages and every page that
/// holds one of the `window` tokens before the block, or the block itself.
struct StreamingWindow: Sendable {
  /// Pages of sinks.
  let sinkPages: Int
  private let window: Int
  private let pageSize: Int

  /// - Throws: where a number is out of range, or the pages kept exceed the context.
  init(sinks: Int, window: Int, pageSize: Int, context: Int) throws(EngineFailure) {
    guard sinks >= 0 else {
      throw .invalid(parameter: "attention sinks", problem: "are \(sinks); expected at least 0")
    }
    guard window >= 1, sinks <= context, window <= context else {
      throw .invalid(
        parameter: "window",
        problem: "is \(window); expected 1 to the context of \(context), sinks included")
    }
    sinkPages = (sinks + pageSize - 1) / pageSize
    self.window = window
    self.pageSize = pageSize
    guard mostPages * pageSize <= context else {
      throw .invalid(
        parameter: "window",
        problem: "of \(window) tokens keeps up to \(mostPages * pageSize) tokens in whole pages; "
          + "expected at most the context of \(context)")
    }
  }

  /// The most pages that a sequence holds.
  var mostPages: Int { sinkPages + (window + pageSize - 1) / pageSize + 1 }

  /// Tokens between the sinks and the window that the token at `position` does not see.
  func dropped(at position: Int) -> Int {
    let block = position / pageSize
    let firstKept = max(block * pageSize - window, 0) / pageSize
    return max(firstKept - sinkPages, 0) * pageSize
  }

  /// The end of the tokens from `position` on that see the same.
  func end(of position: Int) -> Int {
    var block = position / pageSize + 1
    // Before anything is dropped, all see everything.
    let first = sinkPages + 1 + (window + pageSize - 1) / pageSize
    if dropped(at: position) == 0 { block = max(block, first) }
    while dropped(at: block * pageSize) == dropped(at: position) { block += 1 }
    return block * pageSize
  }
}
