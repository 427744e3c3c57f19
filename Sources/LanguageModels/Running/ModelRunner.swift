import Attention
public import Devices
public import Tensors
public import Tokenizers

/// Runs a model over one growing sequence, its keys and values kept in pages.
///
/// A runner is used by one thread at a time; the model is shared.
public final class ModelRunner {
  /// The model.
  public let model: LanguageModel
  /// The most tokens the sequence can have.
  public let context: Int
  /// The number of tokens whose keys and values are in the cache.
  public private(set) var length = 0

  /// The tokens of a page.
  static let pageSize = 32

  private let pass: ForwardPass
  private let chunk: Int
  private var logits: [Float]

  /// How a runner stores and cuts its work.
  public struct Options: Sendable, Hashable {
    /// The element type of cached keys and values: `.float32`, `.float16` or `.bfloat16`.
    public var kvType = ElementType.float16
    /// The most tokens of the sequence; by default what the model was trained for.
    public var context: Int?
    /// The most tokens that run through the layers together.
    public var chunk = 512

    /// Half-precision cache, the model's own context.
    public init() {}
  }

  /// A runner with an empty sequence.
  public init(_ model: LanguageModel, device: CPUDevice, options: Options = Options()) throws {
    let configuration = model.configuration
    let context = options.context ?? configuration.contextLength
    guard context >= 1, context <= configuration.contextLength else {
      throw ModelError.contextExceeded(tokens: context, limit: configuration.contextLength)
    }
    let pageCount = (context + Self.pageSize - 1) / Self.pageSize
    let caches = try (0..<configuration.layerCount).map { _ in
      try PagedKVCache(
        pageCount: pageCount, pageSize: Self.pageSize, kvHeads: configuration.kvHeadCount,
        headDimension: configuration.headDimension, elementType: options.kvType)
    }
    chunk = max(1, min(options.chunk, context))
    self.model = model
    self.context = context
    logits = [Float](repeating: 0, count: configuration.vocabularySize)
    pass = try ForwardPass(
      configuration.adapted(toContext: context), device: device, caches: caches, rows: chunk)
  }

  /// Forgets all tokens after the first `count`.
  public func truncate(to count: Int) { length = min(length, max(count, 0)) }

  /// Runs `tokens` as the sequence's continuation and returns the logits that follow the last one.
  ///
  /// Where the call throws, the sequence is as long as before it.
  ///
  /// - Parameters:
  ///   - tokens: At least one token; of none there are no logits.
  ///   - each: Called with the logits after every token, in order, valid during the call; makes the
  ///     run much slower.
  public func extend(
    _ tokens: some RandomAccessCollection<TokenID>,
    each: ((_ logits: UnsafeBufferPointer<Float>) -> Void)? = nil
  ) throws -> [Float] {
    let tokens = Array(tokens)
    try model.check(tokens)
    guard tokens.count <= context - length else {
      throw ModelError.contextExceeded(tokens: length + tokens.count, limit: context)
    }
    let before = length
    do {
      for start in stride(from: 0, to: tokens.count, by: chunk) {
        let part = tokens[start..<min(start + chunk, tokens.count)]
        try step(part)
        if let each { try allLogits(part.count, each) }
        if part.endIndex == tokens.count { try lastLogits(part.count - 1) }
      }
    } catch {
      length = before
      throw error
    }
    return tokens.isEmpty ? [] : logits
  }

  private func lastLogits(_ row: Int) throws {
    try logits.withUnsafeMutableBufferPointer { logits in
      guard let base = logits.baseAddress else { return }
      try model.logits(
        pass, rows: row..<row + 1, into: MatrixView(base, rows: 1, columns: logits.count))
    }
  }

  /// Logits computed together when every row's are asked for: enough for the matrix product to
  /// reuse weights, few enough to fit.
  private static let logitRows = 32

  private func allLogits(_ count: Int, _ each: (UnsafeBufferPointer<Float>) -> Void) throws {
    let width = model.configuration.vocabularySize
    var buffer = [Float](repeating: 0, count: min(count, Self.logitRows) * width)
    try buffer.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      for start in stride(from: 0, to: count, by: Self.logitRows) {
        let rows = start..<min(start + Self.logitRows, count)
        let block = MatrixView(base, rows: rows.count, columns: width)
        try model.logits(pass, rows: rows, into: block)
        for row in 0..<rows.count {
          each(UnsafeBufferPointer(start: block.row(row), count: width))
        }
      }
    }
  }

  private func step(_ tokens: ArraySlice<TokenID>) throws {
    let kvLength = length + tokens.count
    let pages = Array(0..<(kvLength + Self.pageSize - 1) / Self.pageSize)
    let batch = try AttentionBatch(
      queries: RaggedIndex(lengths: [tokens.count]),
      pages: PageTable(requests: [(pages: pages, kvLength: kvLength)], pageSize: Self.pageSize))
    try pass.begin(batch)
    try model.run(tokens, pass)
    length = kvLength
  }
}
