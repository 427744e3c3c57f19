public import Attention
public import Devices
public import Tensors
public import Tokenizers

/// Runs a model over many sequences whose keys and values share one pool of pages.
///
/// Which page belongs to whom is the caller's business; a step names the pages. Used by one thread
/// at a time; the model is shared.
public final class BatchRunner {
  /// The model.
  public let model: LanguageModel
  /// How keys and values are stored, and how much runs together.
  public let options: Options

  private let pass: any ForwardPass
  /// The runner's number among those of all ranks.
  private let number: Int32
  /// How many tokens the last step has drawn.
  private var lastDraws = 0

  /// How a runner stores and cuts its work.
  public struct Options: Sendable, Hashable {
    /// The element type of cached keys and values: `.float32`, `.float16` or `.bfloat16`.
    public var kvType = ElementType.float16
    /// The pages of the pool.
    public var pageCount: Int
    /// The tokens of a page.
    public var pageSize: Int
    /// The most rows of a step.
    public var rows: Int
    /// The most sequences of a step; by default as many as rows.
    ///
    /// A GPU takes its memory accordingly.
    public var sequences: Int?
    /// The most tokens of a sequence, which some rotary embeddings depend on; by default what the
    /// model was trained for.
    public var context: Int?
    /// The most tokens that a step draws; only a GPU does (``BatchRunner/drawsTokens``).
    public var draws = 0
    /// How attention reads pages that several sequences of a step share.
    public var composition = Composition.automatic
    /// Whether a row's bits depend on nothing but its sequence's tokens.
    ///
    /// They then depend neither on the other sequences of the step nor on how the sequence's own
    /// tokens were cut into steps; nothing is composed. A GPU's matrix products do not promise that.
    public var isBatchInvariant = false
    /// Whether keys are stored unrotated and turned where they are read, by their places in the page
    /// table: then pages in a sequence's middle may be given up, and what is left moves together.
    ///
    /// Only embeddings of whole heads with unscaled frequencies can be so.
    public var rotatesInAttention = false

    /// A half-precision pool of `pageCount` pages.
    public init(pageCount: Int, pageSize: Int = 16, rows: Int = 512) {
      self.pageCount = pageCount
      self.pageSize = pageSize
      self.rows = rows
    }
  }

  /// A runner with an empty pool, where the model's weights are.
  ///
  /// - Parameter device: The processor, which plans.
  public init(_ model: LanguageModel, device: CPUDevice, options: Options) throws {
    let configuration = model.configuration
    self.model = model
    self.options = options
    pass = try model.weights.pass(
      configuration.adapted(toContext: options.context ?? configuration.contextLength),
      device: device, options: options)
    number = try model.parallelism?.leadRunner(options) ?? 0
  }

  deinit { try? lead(.dropRunner(number)) {} }

  /// Does something on all ranks that share the model.
  private func lead(_ order: @autoclosure () -> RankOrder, _ body: () throws -> Void) throws {
    guard let parallelism = model.parallelism else { return try body() }
    try parallelism.lead(order(), body)
  }

  /// The bytes of a page in all layers together.
  public static func pageByteCount(_ model: LanguageModel, kvType: ElementType, pageSize: Int)
    throws -> Int
  {
    let configuration = model.configuration
    return try configuration.layerCount
      * model.weights.pageByteCount(configuration, kvType: kvType, pageSize: pageSize)
  }

  /// The bytes that a pool may take of the memory of the GPU that has the model; nil on the processor,
  /// where memory is taken as it is first written.
  public static func poolByteCount(_ model: LanguageModel) throws -> Int? {
    try model.weights.poolByteCount()
  }

  /// Runs a step's tokens through all layers and stores their keys and values.
  ///
  /// - Throws: `ModelError` where a token is not in the vocabulary or there are too many rows;
  ///   the errors of planning where pages are outside the pool.
  public func run(_ step: ModelStep) throws {
    try model.check(step.tokens)
    guard step.tokens.count == step.rowCount, step.rowCount <= options.rows else {
      throw ModelError.rows(tokens: step.tokens.count, rows: step.rowCount, limit: options.rows)
    }
    try checkDraws(step)
    try lead(.step(number, step)) { try model.run(step, pass) }
    lastDraws = step.draws.count
  }

  private func checkDraws(_ step: ModelStep) throws(ModelError) {
    let rows = 0..<step.rowCount
    guard step.draws.isEmpty || drawsTokens && step.draws.count <= options.draws else {
      throw .draws("\(step.draws.count); expected at most \(drawsTokens ? options.draws : 0)")
    }
    guard step.carried.isEmpty || carriesTokens,
      step.carried.allSatisfy({ rows.contains($0.row) && (0..<lastDraws).contains($0.draw) }),
      step.draws.allSatisfy({ rows.contains($0.row) })
    else {
      throw .draws(
        "a row that is not among \(rows.count), or a token that is not among the \(lastDraws) of the "
          + "step before")
    }
  }

  /// Whether steps draw tokens where their logits are (``ModelStep/draws``): on a GPU, for a runner with
  /// room for draws.
  ///
  /// Draws depend on the random number's place as those of `CPUDevice.sampleFromLogits` do. Greedy ones
  /// are the same; without a filter those of another temperature are but for rounding (sums in 32-bit
  /// floats, 24 bits of the random number), and with one they have the same distribution: what the filter
  /// excludes is drawn again with a further number of the same place.
  public var drawsTokens: Bool { pass.drawsTokens }

  /// Whether a step can go on with tokens that the one before has drawn (``ModelStep/carried``).
  ///
  /// Not where ranks share the model: one of them draws.
  public var carriesTokens: Bool { drawsTokens && (model.parallelism?.count ?? 1) == 1 }

  /// The tokens that the oldest step which has drawn some and was not asked for them has drawn, in the
  /// order of its draws; nil where no logit is above −∞.
  ///
  /// Waits for that step. Two may wait to be asked.
  public func drawnTokens() throws -> [TokenID?] { try pass.drawnTokens() }

  /// Calls `body` with the logits that follow some rows of the last step, a block at a time.
  ///
  /// - Parameters:
  ///   - rows: The rows, any number of times each.
  ///   - body: Gets the places in `rows` that the block holds, and a row of logits for each; these
  ///     may be overwritten and are valid during the call.
  public func logits(
    of rows: [Int], _ body: (_ places: Range<Int>, _ logits: MatrixView) throws -> Void
  ) throws {
    guard model.sharesVocabulary else { return try model.logits(pass, of: rows, body) }
    // The other ranks are told of a block at a time, and wait for nobody while rank 0 looks at it.
    let most = max(min(options.rows, Self.sharedRows), 1)
    for start in stride(from: 0, to: rows.count, by: most) {
      let places = start..<min(start + most, rows.count)
      var found: MatrixView?
      try lead(.logits(number, rows[places].map { Int32($0) })) {
        try model.logits(pass, of: Array(rows[places])) { _, block in found = block }
      }
      if let found { try body(places, found) }
    }
  }

  /// The most rows of which ranks compute logits together.
  private static let sharedRows = 64

  /// The last layer's hidden vectors of some rows of the last step, normalised: [rows × width].
  ///
  /// Valid until the next call of this runner.
  public func hidden(_ rows: Range<Int>) throws -> MatrixView {
    try model.hidden(pass, rows: rows)
  }

  /// Copies a page of every layer into another.
  public func copyPage(_ source: Int, to target: Int) throws {
    try lead(.copyPage(number, source: Int32(source), target: Int32(target))) {
      try pass.copyPage(source, to: target)
    }
  }
}
