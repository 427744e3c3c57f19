/// How a batch is decomposed where several requests hold the same pages.
///
/// The paper calls the parts composable formats (FlashInfer, §3.1.2: arXiv 2501.01005): a run of
/// keys that several requests share is read once for the rows of all of them, what is left of each
/// request separately. No keys move, positions stay absolute, and everything runs in one launch.
public enum Composition: Sendable, Hashable {
  /// The planner finds shared runs of pages, at any depth, and reads those together for which that
  /// costs less.
  case automatic
  /// Every request is read for itself.
  case off
  /// Exactly these runs are read together.
  case explicit([SharedRun])
}

/// Keys that several requests have in common: the same pages at the same positions.
public struct SharedRun: Sendable, Hashable {
  /// The requests, each once.
  public var requests: [Int]
  /// The keys' positions: whole pages that are full for every request.
  public var keys: Range<Int>

  /// A run of keys of some requests.
  public init(requests: [Int], keys: Range<Int>) {
    self.requests = requests
    self.keys = keys
  }

  /// Why a run cannot be read together.
  public enum Invalid: Error, Hashable {
    /// A request's number is outside the batch.
    case request(Int, run: Int, requestCount: Int)
    /// A request is named twice, or the run names none.
    case requests(run: Int)
    /// The keys are no whole pages that are full for the request.
    case keys(Range<Int>, run: Int, request: Int, fullKeys: Int, pageSize: Int)
    /// The runs of a request must follow one another from key 0.
    case gap(run: Int, request: Int, expected: Int, found: Int)
    /// Two requests have different pages at the same place.
    case pages(run: Int, requests: [Int], pageOfRequest: Int)
  }
}

extension SharedRun.Invalid: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .request(let request, let run, let count):
      "shared run \(run): request \(request) is outside 0 ..< \(count)"
    case .requests(let run): "shared run \(run): expected some requests, each once"
    case .keys(let keys, let run, let request, let full, let pageSize):
      "shared run \(run): keys \(keys) of request \(request) are no whole pages of \(pageSize) "
        + "within its \(full) keys in full pages"
    case .gap(let run, let request, let expected, let found):
      "shared run \(run): begins at key \(found), expected \(expected), where the runs of request "
        + "\(request) before it end"
    case .pages(let run, let requests, let page):
      "shared run \(run): requests \(requests.map(String.init).joined(separator: " and ")) have "
        + "different pages at place \(page)"
    }
  }
}
