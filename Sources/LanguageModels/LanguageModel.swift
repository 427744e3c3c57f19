import Checkpoints
public import Devices
import Tensors
import Tokenizers

/// A decoder-only model: its weights, ready to run.
///
/// Immutable and shared by all who run it.
public final class LanguageModel: Sendable {
  /// Sizes and constants; of one rank's part where ranks share the model.
  public let configuration: ModelConfiguration

  /// The GPU that runs the model; nil where the processor does.
  public let gpu: CUDADevice?
  /// The ranks that share the model; nil where there is one alone.
  let parallelism: TensorParallelism?
  /// Whether each rank computes some tokens' logits.
  let sharesVocabulary: Bool
  /// The weights, on the device that runs the model.
  let weights: any ModelWeights
  private let embedding: Table
  private let blocks: [any DecoderBlock]
  private let outputNorm: Norm
  private let output: Linear

  /// Takes the weights from a checkpoint and packs them for the device.
  ///
  /// - Parameters:
  ///   - checkpoint: The tensors.
  ///   - metadata: What the checkpoint says about them.
  ///   - storedName: The checkpoint's own name of GGUF's tensor.
  ///   - precision: How linear layers treat activations.
  ///   - device: The processor.
  ///   - gpu: Where the model will run; nil for the processor.
  ///   - parallelism: The rank whose part of the weights is taken; nil for all.
  init(
    _ checkpoint: any Checkpoint, metadata: ModelMetadata,
    storedName: @escaping @Sendable (String) -> String, precision: LinearPrecision,
    device: CPUDevice, gpu: CUDADevice? = nil, parallelism: TensorParallelism? = nil
  ) throws {
    let architecture = try Architectures.named(metadata.architecture)
    guard let table = try checkpoint.tensor(named: storedName("token_embd.weight")) else {
      throw ModelError.missingTensor(storedName("token_embd.weight"))
    }
    guard table.shape.count == 2, ModelConfiguration.Bounds.vocabulary.contains(table.rows) else {
      throw ModelError.tensor(table.name, problem: "its shape \(table.shape) is no vocabulary")
    }
    let whole = try architecture.configuration(metadata, vocabularySize: table.rows)
    let part = try ModelPart(
      whole, rank: parallelism?.rank ?? 0, of: parallelism?.count ?? 1,
      unit: Self.feedForwardBlock(checkpoint, layers: whole.layerCount, storedName))
    configuration = whole.part(part)
    self.parallelism = parallelism
    self.gpu = gpu
    let none: any ModelWeights
    if let gpu {
      let (ranks, members) = (parallelism?.count ?? 1, gpu.group?.count ?? 1)
      guard ranks == members else {
        throw ModelError.ranks("\(ranks) share the model; the GPU's group has \(members)")
      }
      none = CUDAWeights(gpu, precision: precision, configuration)
    } else {
      none = CPUWeights(device, precision: precision, parallelism: parallelism)
    }
    let loader = WeightLoader(
      checkpoint, configuration, part, metadata: metadata, into: none,
      storedName: storedName)
    let shape = [configuration.vocabularySize, configuration.width]
    let vectors = try loader.required("token_embd.weight", shape: shape)
    embedding = try loader.table(vectors)
    blocks = try (0..<configuration.layerCount).map { try architecture.block(loader, layer: $0) }
    outputNorm = try loader.norm("output_norm")
    // Without an output matrix of its own a model uses the embedding's (arXiv 1608.05859).
    let outputs = try loader.optional("output.weight", shape: shape) ?? vectors
    sharesVocabulary = gpu == nil && parallelism?.count ?? 1 > 1
    output = try loader.linear(
      outputs, rows: sharesVocabulary ? part.vocabulary : 0..<outputs.rows)
    weights = loader.weights
  }

  /// The inner elements of a feed-forward layer that ranks keep together: whole blocks of every layer.
  private static func feedForwardBlock(
    _ checkpoint: any Checkpoint, layers: Int, _ storedName: (String) -> String
  ) throws -> Int {
    try (0..<layers).reduce(1) { block, layer in
      let down = try checkpoint.tensor(named: storedName("blk.\(layer).ffn_down.weight"))
      return max(block, down?.type.blockLength ?? 1)
    }
  }

  /// Throws where a token is not in the vocabulary.
  func check(_ tokens: [TokenID]) throws(ModelError) {
    for (i, token) in tokens.enumerated()
    where token < 0 || Int(token) >= configuration.vocabularySize {
      throw .token(id: Int(token), index: i, vocabularySize: configuration.vocabularySize)
    }
  }

  /// Runs a step's tokens through all layers, and draws those that are to follow.
  func run(_ step: ModelStep, _ pass: any ForwardPass) throws {
    try pass.run(step) {
      try pass.embed(embedding, scale: configuration.embeddingScale)
      for (layer, block) in blocks.enumerated() {
        pass.layer = layer
        try block.run(pass)
      }
      try pass.draw(normalisedBy: outputNorm, output)
    }
  }

  /// The normalised hidden vectors of some rows of the pass: [rows × width].
  func hidden(_ pass: any ForwardPass, rows: Range<Int>) throws -> MatrixView {
    try pass.hidden(of: Array(rows)[...], normalisedBy: outputNorm)
  }

  /// Calls `body` with the logits that follow some rows of the pass, a block at a time.
  func logits(
    _ pass: any ForwardPass, of rows: [Int],
    _ body: (_ places: Range<Int>, _ logits: MatrixView) throws -> Void
  ) throws {
    try pass.logits(of: rows, normalisedBy: outputNorm, output, body)
  }
}
