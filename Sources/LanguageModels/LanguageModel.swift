import Checkpoints
import Devices
import Tensors
import Tokenizers

/// A decoder-only model: its weights, ready to run.
///
/// Immutable and shared by all who run it.
public final class LanguageModel: Sendable {
  /// Sizes and constants; of one rank's part where ranks share the model.
  public let configuration: ModelConfiguration

  private let embedding: Embedding
  private let blocks: [any DecoderBlock]
  private let outputNorm: Norm
  private let output: LinearWeights

  /// Takes the weights from a checkpoint and packs them for the device.
  ///
  /// - Parameters:
  ///   - checkpoint: The tensors.
  ///   - metadata: What the checkpoint says about them.
  ///   - storedName: The checkpoint's own name of GGUF's tensor.
  ///   - precision: How linear layers treat activations.
  ///   - device: Where the model will run.
  ///   - parallelism: Whose part of the weights is taken; nil for all.
  init(
    _ checkpoint: any Checkpoint, metadata: ModelMetadata,
    storedName: @escaping @Sendable (String) -> String, precision: LinearPrecision,
    device: CPUDevice, parallelism: TensorParallelism? = nil
  ) throws {
    let architecture = try Architectures.named(metadata.architecture)
    guard let table = try checkpoint.tensor(named: storedName("token_embd.weight")) else {
      throw ModelError.missingTensor(storedName("token_embd.weight"))
    }
    guard table.shape.count == 2, ModelConfiguration.Bounds.vocabulary.contains(table.rows) else {
      throw ModelError.tensor(table.name, problem: "its shape \(table.shape) is no vocabulary")
    }
    configuration = try architecture.configuration(metadata, vocabularySize: table.rows)
      .part(of: parallelism)
    let weights = WeightLoader(
      checkpoint: checkpoint, configuration: configuration, metadata: metadata,
      precision: precision, device: device, parallelism: parallelism, storedName: storedName)
    let shape = [configuration.vocabularySize, configuration.width]
    embedding = Embedding(
      table: try weights.required("token_embd.weight", shape: shape),
      scale: configuration.embeddingScale)
    blocks = try (0..<configuration.layerCount).map { try architecture.block(weights, layer: $0) }
    outputNorm = try weights.norm("output_norm")
    // Without an output matrix of its own a model uses the embedding's (arXiv 1608.05859).
    output = try weights.linear(
      weights.optional("output.weight", shape: shape) ?? embedding.table)
  }

  /// Throws where a token is not in the vocabulary.
  func check(_ tokens: [TokenID]) throws(ModelError) {
    for (i, token) in tokens.enumerated()
    where token < 0 || Int(token) >= configuration.vocabularySize {
      throw .token(id: Int(token), index: i, vocabularySize: configuration.vocabularySize)
    }
  }

  /// Runs tokens, one for each row of the pass, through all layers.
  func run(_ tokens: ArraySlice<TokenID>, _ pass: ForwardPass) throws {
    try embedding.run(tokens, into: pass.hidden)
    for (layer, block) in blocks.enumerated() {
      pass.layer = layer
      try block.run(pass)
    }
  }

  /// The normalised hidden vectors of some rows of the pass, gathered: [rows × width].
  ///
  /// They replace the first rows of the pass's `normed`, which has room for as many rows.
  func normed(_ pass: ForwardPass, rows: ArraySlice<Int>) throws -> MatrixView {
    var gathered = pass.normed
    gathered.rows = rows.count
    for (i, row) in rows.enumerated() {
      gathered.row(i).update(from: pass.hidden.row(row), count: gathered.columns)
    }
    try outputNorm.run(gathered, into: gathered, pass)
    return gathered
  }

  /// The logits that follow some rows of the pass: [rows × vocabulary].
  func logits(_ pass: ForwardPass, rows: ArraySlice<Int>, into logits: MatrixView) throws {
    output.multiply(
      try normed(pass, rows: rows), into: logits, isRowInvariant: pass.isBatchInvariant)
  }
}
