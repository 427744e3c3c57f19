import Attention
public import Devices
public import Tensors
public import Tokenizers

/// Runs a model over one growing sequence.
///
/// A runner is used by one thread at a time; the model is shared. ``BatchRunner`` runs many
/// sequences.
public final class ModelRunner {
  /// The most tokens the sequence can have.
  public let context: Int
  /// The number of tokens whose keys and values are in the cache.
  public private(set) var length = 0

  /// The tokens of a page.
  static let pageSize = 32

  private let batches: BatchRunner
  private var logits: [Float]

  /// The model.
  public var model: LanguageModel { batches.model }

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
    context = try model.configuration.context(options.context)
    var batch = BatchRunner.Options(
      pageCount: (context + Self.pageSize - 1) / Self.pageSize, pageSize: Self.pageSize,
      rows: max(1, min(options.chunk, context)))
    batch.kvType = options.kvType
    batch.context = context
    batch.sequences = 1
    batch.draws = 1
    logits = [Float](repeating: 0, count: model.configuration.vocabularySize)
    batches = try BatchRunner(model, device: device, options: batch)
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
    try extend(Array(tokens)) { part, isLast in
      try step(part)
      if let each {
        try batches.logits(of: Array(0..<part.count)) { places, block in
          for row in 0..<places.count {
            each(UnsafeBufferPointer(start: block.row(row), count: block.columns))
          }
        }
      }
      if isLast {
        try batches.logits(of: [part.count - 1]) { _, block in
          logits.withUnsafeMutableBufferPointer {
            _ = $0.update(
              fromContentsOf: UnsafeBufferPointer(start: block.base, count: block.columns))
          }
        }
      }
    }
    return tokens.isEmpty ? [] : logits
  }

  /// Whether ``extend(_:drawing:)`` draws: on a GPU (``BatchRunner/drawsTokens``).
  public var drawsTokens: Bool { batches.drawsTokens }

  /// Runs `tokens` as the sequence's continuation and draws the token that follows, where the logits are.
  ///
  /// - Parameters:
  ///   - tokens: At least one token.
  ///   - draw: How; its row does not matter.
  /// - Returns: nil where no logit is above −∞.
  public func extend(
    _ tokens: some RandomAccessCollection<TokenID>, drawing draw: TokenDraw
  ) throws -> TokenID? {
    try extend(Array(tokens)) { part, isLast in
      var draw = draw
      draw.row = part.count - 1
      try step(part, draws: isLast ? [draw] : [])
    }
    return try batches.drawnTokens().first ?? nil
  }

  /// Has `body` run some tokens, a chunk at a time.
  private func extend(
    _ tokens: [TokenID], _ body: (_ part: ArraySlice<TokenID>, _ isLast: Bool) throws -> Void
  ) throws {
    try model.check(tokens)
    guard tokens.count <= context - length else {
      throw ModelError.contextExceeded(tokens: length + tokens.count, limit: context)
    }
    let before = length
    let chunk = batches.options.rows
    do {
      for start in stride(from: 0, to: tokens.count, by: chunk) {
        let part = tokens[start..<min(start + chunk, tokens.count)]
        try body(part, part.endIndex == tokens.count)
      }
    } catch {
      length = before
      throw error
    }
  }

  private func step(_ tokens: ArraySlice<TokenID>, draws: [TokenDraw] = []) throws {
    let kvLength = length + tokens.count
    let pages = Array(0..<(kvLength + Self.pageSize - 1) / Self.pageSize)
    let batch = try AttentionBatch(
      queries: RaggedIndex(lengths: [tokens.count]),
      pages: PageTable(requests: [(pages: pages, kvLength: kvLength)], pageSize: Self.pageSize))
    var step = ModelStep(tokens: Array(tokens), batch: batch)
    step.draws = draws
    try batches.run(step)
    length = kvLength
  }
}

extension ModelConfiguration {
  /// A context that was asked for, by default the model's own.
  package func context(_ asked: Int?) throws(ModelError) -> Int {
    let context = asked ?? contextLength
    guard context >= 1, context <= contextLength else {
      throw .contextExceeded(tokens: context, limit: contextLength)
    }
    return context
  }
}
