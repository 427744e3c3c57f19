import Checkpoints
public import Tokenizers

extension Tokenizer {
  /// The tokenizer of a GGUF file or of a folder with `tokenizer.json`, without its model.
  ///
  /// - Throws: the errors of opening and reading checkpoints, and `LoadError`.
  public init(checkpoint path: String) throws {
    switch try OpenedCheckpoint.open(path: path) {
    case .gguf(let file): try self.init(GGUFVocabulary(file))
    case .safetensors(let folder):
      func bytes(_ name: String) throws -> [UInt8] {
        try MappedFile(path: "\(folder.path)/\(name)").withBytes { Array($0) }
      }
      try self.init(
        tokenizerJSON: bytes("tokenizer.json"), config: try? bytes("tokenizer_config.json"))
    }
  }
}
