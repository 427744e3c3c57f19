import Checkpoints
import Tokenizers

extension ModelMetadata {
  /// The metadata of a GGUF file.
  init(_ file: GGUFFile) throws {
    let architecture = try file.string("general.architecture")
    let values = file.metadata
    // LongRoPE's factors are tensors.
    func factors(_ name: String) -> MetadataValue? {
      file.tensor(named: name).map { .numbers($0.dequantized().map(Double.init)) }
    }
    let tensors = [
      "rope.scaling.short_factor": factors("rope_factors_short.weight"),
      "rope.scaling.long_factor": factors("rope_factors_long.weight"),
    ]
    self.init(
      architecture: architecture,
      frequencyFactors: file.tensor(named: "rope_freqs.weight")?.dequantized(),
      lookup: { key in
        if let factors = tensors[key] { return factors }
        return switch values["\(architecture).\(key)"] {
        case .integer(let value, _)?: .integer(value)
        case .float(let value, _)?: .number(value)
        case .bool(let value)?: .flag(value)
        case .string(let value)?: .text(value)
        // One number where another model has one per layer, or the reverse, is not understood.
        case .hugeInteger(let value)?: .number(Double(value))
        case .array(let array)?: .text("list of \(array.count)")
        case nil: nil
        }
      })
  }
}

extension GGUFVocabulary {
  /// The vocabulary of a GGUF file.
  init(_ file: GGUFFile) throws {
    func key(_ name: String) -> String { "tokenizer.ggml." + name }
    func token(_ name: String) -> TokenID? {
      file.metadata[key(name + "_token_id")]?.integer.flatMap { TokenID(exactly: $0) }
    }
    func flag(_ name: String) -> Bool? { file.metadata[key(name)]?.bool }
    let tokens = try file.array(key("tokens"))
    self.init(model: try file.string(key("model")), tokens: tokens.strings ?? [])
    pre = file.metadata[key("pre")]?.string
    scores = file.metadata[key("scores")]?.array?.floats ?? []
    tokenTypes =
      file.metadata[key("token_type")]?.array?.integers?.map { Int32(truncatingIfNeeded: $0) } ?? []
    merges = file.metadata[key("merges")]?.array?.strings ?? []
    bos = token("bos")
    eos = token("eos")
    eot = token("eot")
    unknown = token("unknown")
    separator = token("seperator")
    padding = token("padding")
    classification = token("cls")
    mask = token("mask")
    addBOS = flag("add_bos_token")
    addEOS = flag("add_eos_token")
    addSpacePrefix = flag("add_space_prefix")
    removeExtraWhitespaces = flag("remove_extra_whitespaces")
    precompiledCharsMap =
      file.metadata[key("precompiled_charsmap")]?.array?.integers?.map {
        UInt8(truncatingIfNeeded: $0)
      } ?? []
    chatTemplate = file.metadata["tokenizer.chat_template"]?.string
  }
}
