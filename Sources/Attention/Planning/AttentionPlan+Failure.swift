extension AttentionPlan {
  /// Why a plan could not be made or run.
  public enum Failure: Error, Hashable {
    /// A size is less than 1.
    case size(String, Int)
    /// The query heads are no multiple of the key/value heads.
    case heads(query: Int, kv: Int)
    /// A per-head vector of the variant has the wrong length.
    case perHead(String, expected: Int, found: Int)
    /// The variant's definition, or the data of its parameters.
    case variant(AttentionVariant.Invalid)
    /// A variant without softmax, whose name this is, has no log-sum-exp.
    case noLogSumExp(String)
    /// The scale is not finite.
    case scale(Float)
    /// The number of workers is outside 1 ... 65535.
    case workers(Int)
    /// A matrix has the wrong shape.
    case matrix(String, expected: [Int], found: [Int])
    /// The cache has another shape than the plan.
    case cache(String, expected: Int, found: Int)
    /// The batch names a page that the cache does not have.
    ///
    /// `index` is its place among the batch's page indices, or, in a batch of block rows, among all
    /// pages that the rows list.
    case page(request: Int, index: Int, value: Int, pageCount: Int)
    /// The batch, or the bounds, need more than a plan can count.
    case tooLarge(String)
    /// A request has block rows for another number of key/value heads.
    case blockRowHeads(request: Int, expected: Int, found: Int)
    /// Runs to read together were given for a batch of block rows.
    case blockRowComposition
    /// The batch has more of something than the plan's bounds say.
    ///
    /// `workspace` is the bytes of a plan whose bounds hold the batch.
    case bound(String, limit: Int, needed: Int, workspace: Int)
    /// The system refused the memory that the bounds need.
    case memory(bytes: Int)
    /// Runs of keys that were given cannot be read together.
    case composition(SharedRun.Invalid)
    /// The variant, whose name this is, makes of a key or value what depends on the request, so that
    /// requests cannot read them together.
    case keysOfRequest(String)
    /// A batch-invariant plan reads every request for itself.
    case invariantComposition
  }
}

extension AttentionPlan.Failure: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .size(let name, let size): "attention plan: \(name) is \(size), expected 1 ... 1048576"
    case .heads(let query, let kv):
      "attention plan: \(query) query heads are no multiple of \(kv) kv heads"
    case .perHead(let name, let expected, let found):
      "attention plan: the variant's \(name) has \(found) entries, expected one for each of "
        + "\(expected) query heads"
    case .variant(let invalid): invalid.description
    case .noLogSumExp(let name):
      "attention: \(name) does not use softmax and has no log-sum-exp"
    case .scale(let scale): "attention plan: scale \(scale) is not finite"
    case .workers(let count): "attention plan: \(count) workers, expected 1 ... 65535"
    case .matrix(let what, let expected, let found):
      "attention: \(what) must be \(expected.map(String.init).joined(separator: " x ")), found "
        + found.map(String.init).joined(separator: " x ")
    case .cache(let what, let expected, let found):
      "attention: the plan has \(what) \(expected), the cache \(found)"
    case .page(let request, let index, let page, let count):
      "attention: page index \(index), of request \(request), is \(page); the cache has pages "
        + "0 ..< \(count)"
    case .blockRowHeads(let request, let expected, let found):
      "attention plan: request \(request) has block rows for \(found) kv heads, expected "
        + "\(expected) or rows for every head"
    case .blockRowComposition:
      "attention plan: a batch of block rows, or of pages at positions of their own, takes no "
        + "explicit composition"
    case .tooLarge(let what): "attention plan: too many \(what)"
    case .bound(let what, let limit, let needed, let workspace):
      "attention plan: the batch has \(needed) \(what), the plan's bounds allow \(limit); bounds "
        + "that hold it need \(workspace) bytes of workspace"
    case .memory(let bytes): "attention plan: the system refused \(bytes) bytes of workspace"
    case .composition(let invalid): "attention plan: \(invalid)"
    case .keysOfRequest(let name):
      "attention plan: requests cannot share keys under \(name), which makes of them what depends on "
        + "the request"
    case .invariantComposition:
      "attention plan: a batch-invariant plan takes no shared runs: a row's bits depend on the rows "
        + "that it shares a tile with"
    }
  }
}
