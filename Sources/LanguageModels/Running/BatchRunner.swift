public import Attention
public import Devices
public import Tensors

/// Runs a model over many sequences whose keys and values share one pool of pages.
///
/// Which page belongs to whom is the caller's business; a step names the pages. Used by one thread
/// at a time; the model is shared.
public final class BatchRunner {
  /// The model.
  public let model: LanguageModel
  /// How keys and values are stored, and how much runs together.
  public let options: Options

  private let pass: ForwardPass
  private let device: CPUDevice
  private var logits = AlignedBuffer(byteCount: 0)

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
    /// The most tokens of a sequence, which some rotary embeddings depend on; by default what the
    /// model was trained for.
    public var context: Int?
    /// How attention reads pages that several sequences of a step share.
    public var composition = Composition.automatic
    /// Whether a row's bits depend on nothing but its sequence's tokens.
    ///
    /// They then depend neither on the other sequences of the step nor on how the sequence's own
    /// tokens were cut into steps; nothing is composed.
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

  /// A runner with an empty pool.
  public init(_ model: LanguageModel, device: CPUDevice, options: Options) throws {
    let configuration = model.configuration
    let caches = try (0..<configuration.layerCount).map { _ in
      try PagedKVCache(
        pageCount: options.pageCount, pageSize: options.pageSize,
        kvHeads: configuration.kvHeadCount, headDimension: configuration.headDimension,
        elementType: options.kvType)
    }
    self.model = model
    self.device = device
    self.options = options
    pass = try ForwardPass(
      configuration.adapted(toContext: options.context ?? configuration.contextLength),
      device: device, caches: caches, options: options)
  }

  /// The bytes of a page in all layers together.
  public static func pageByteCount(
    _ configuration: ModelConfiguration, kvType: ElementType, pageSize: Int
  ) throws -> Int {
    try configuration.layerCount
      * PagedKVCache.pageByteCount(
        pageSize: pageSize, kvHeads: configuration.kvHeadCount,
        headDimension: configuration.headDimension, elementType: kvType)
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
    try pass.begin(step)
    try model.run(step.tokens[...], pass)
  }

  /// Calls `body` with the logits that follow some rows of the last step, a block at a time.
  ///
  /// - Parameters:
  ///   - rows: The rows, any number of times each.
  ///   - body: Gets the places in `rows` that the block holds, and a row of logits for each; these
  ///     may be overwritten and are valid during the call.
  public func logits(
    of rows: [Int], _ body: (_ places: Range<Int>, _ logits: MatrixView) throws -> Void
  ) throws {
    guard let memory = logitMemory(rows: rows.count) else { return }
    for start in stride(from: 0, to: rows.count, by: memory.rows) {
      let places = start..<min(start + memory.rows, rows.count)
      let block = memory.rows(0..<places.count)
      try model.logits(pass, rows: rows[places], into: block)
      try body(places, block)
    }
  }

  /// A block for the logits of at most `rows` rows: the layers' scratch space, which is free by then,
  /// unless it holds too few of them.
  private func logitMemory(rows: Int) -> MatrixView? {
    let width = model.configuration.vocabularySize
    let most = max(min(rows, options.rows, Self.logitRows), 1)
    let spare = pass.scratch.count / width
    if spare >= min(most, Self.logitRows / 2), let base = pass.scratch.baseAddress {
      return MatrixView(base, rows: min(most, spare), columns: width)
    }
    let needed = most * width * MemoryLayout<Float>.stride
    if logits.bytes.count < needed { logits = AlignedBuffer(byteCount: needed) }
    return logits.elements(Float.self).baseAddress.map {
      MatrixView($0, rows: most, columns: width)
    }
  }

  /// The last layer's hidden vectors of some rows of the last step, normalised: [rows × width].
  ///
  /// Valid until the next call of this runner.
  public func hidden(_ rows: Range<Int>) throws -> MatrixView {
    try model.normed(pass, rows: Array(rows)[...])
  }

  /// Logits computed together: enough for the matrix product to reuse weights, few enough to fit.
  private static let logitRows = 64

  /// Copies a page of every layer into another.
  public func copyPage(_ source: Int, to target: Int) throws {
    for cache in pass.caches { try cache.copyPage(source, to: target) }
  }
}
