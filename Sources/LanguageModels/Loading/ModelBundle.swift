import Checkpoints
public import Devices
public import Tokenizers

/// A model with what is needed to talk to it: its tokenizer and its chat template.
public struct ModelBundle: Sendable {
  /// Where it came from.
  public let path: String
  /// The model.
  public let model: LanguageModel
  /// Its tokenizer.
  public let tokenizer: Tokenizer
  /// How it wants conversations written, where it says so.
  public let chatTemplate: ChatTemplate?

  /// Loads a GGUF file, or a folder with `config.json`, safetensors and `tokenizer.json`.
  ///
  /// - Parameters:
  ///   - path: The file or the folder.
  ///   - precision: How linear layers treat activations.
  ///   - device: The processor, which runs the model or plans for the GPU that does.
  ///   - gpu: The GPU that runs the model; nil for the processor. There `exact` means that activations
  ///     and weights are 32-bit floats, `fast` that they are bfloat16. Where ranks share the model, the
  ///     GPU's group adds up their branches.
  ///   - parallelism: Whose part of the weights is taken; nil for all.
  /// - Throws: the errors of opening and reading checkpoints, `Tokenizer.LoadError`,
  ///   `ChatTemplate`'s errors and `ModelError`.
  public init(
    path: String, precision: LinearPrecision = .exact, device: CPUDevice,
    gpu: CUDADevice? = nil, parallelism: TensorParallelism? = nil
  ) throws {
    switch try OpenedCheckpoint.open(path: path) {
    case .gguf(let file):
      try self.init(file, path: path, precision, device: device, gpu, parallelism)
    case .safetensors(let folder):
      try self.init(folder, path: path, precision, device: device, gpu, parallelism)
    }
  }

  private init(
    _ file: GGUFFile, path: String, _ precision: LinearPrecision, device: CPUDevice,
    _ gpu: CUDADevice?, _ parallelism: TensorParallelism?
  ) throws {
    self.path = path
    model = try LanguageModel(
      file, metadata: ModelMetadata(file), storedName: { $0 }, precision: precision,
      device: device, gpu: gpu, parallelism: parallelism)
    tokenizer = try Tokenizer(GGUFVocabulary(file))
    chatTemplate = try tokenizer.chatTemplate.map { try ChatTemplate($0) }
    // Weights are packed now; of the file only rows of the embedding are read from here on.
    file.file.release()
  }

  private init(
    _ folder: SafetensorsFolder, path: String, _ precision: LinearPrecision, device: CPUDevice,
    _ gpu: CUDADevice?, _ parallelism: TensorParallelism?
  ) throws {
    self.path = path
    let metadata = try ModelMetadata(folder)
    model = try LanguageModel(
      folder, metadata: metadata,
      storedName: { HuggingFaceNames.tensor($0, architecture: metadata.architecture) },
      precision: precision, device: device, gpu: gpu, parallelism: parallelism)
    func bytes(_ name: String) throws -> [UInt8] {
      try MappedFile(path: "\(path)/\(name)").withBytes { Array($0) }
    }
    tokenizer = try Tokenizer(
      tokenizerJSON: bytes("tokenizer.json"), config: try? bytes("tokenizer_config.json"))
    // Newer folders keep the template in a file of its own.
    let template = (try? bytes("chat_template.jinja")).map { String(decoding: $0, as: UTF8.self) }
    chatTemplate = try (template ?? tokenizer.chatTemplate).map { try ChatTemplate($0) }
    for file in folder.files { file.file.release() }
  }
}
