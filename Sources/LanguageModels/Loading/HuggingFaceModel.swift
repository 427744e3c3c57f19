package import Checkpoints

extension ModelMetadata {
  /// The metadata of a folder with `config.json`.
  init(_ folder: SafetensorsFolder) throws(ModelError) {
    guard let config = folder.config else {
      throw .notAModel(path: folder.path, problem: "it has no config.json beside its tensors")
    }
    guard let type = config["model_type"]?.string else {
      throw .metadata(key: "model_type", expected: "text", found: "nothing")
    }
    let architecture = HuggingFaceNames.architectures[type] ?? type
    self.init(
      architecture: architecture, hasOriginalHeadOrder: true,
      hasZeroCentredNorms: architecture == "gemma3",
      lookup: { key in MetadataValue(Self.value(key, in: config)) })
  }

  /// The value that `config.json` has for one of GGUF's keys, wherever its version puts it.
  private static func value(_ key: String, in config: JSONValue) -> JSONValue? {
    // Newer files gather what concerns RoPE, per kind of attention where there are several.
    let rope = config["rope_parameters"]
    let global = rope?["full_attention"] ?? rope
    let scaling = config["rope_scaling"] ?? global
    switch key {
    case "rope.freq_base": return config["rope_theta"] ?? global?["rope_theta"]
    case "rope.local.freq_base":
      return config["rope_local_base_freq"] ?? rope?["sliding_attention"]?["rope_theta"]
    case "rope.scaling.type": return scaling?["rope_type"] ?? scaling?["type"]
    case "rope.scaling.factor": return scaling?["factor"]
    case "rope.scaling.low_freq_factor": return scaling?["low_freq_factor"]
    case "rope.scaling.high_freq_factor": return scaling?["high_freq_factor"]
    case "rope.scaling.original_context_length":
      // Phi-3 states it outside.
      return scaling?["original_max_position_embeddings"]
        ?? config["original_max_position_embeddings"]
    case "rope.scaling.short_factor": return scaling?["short_factor"]
    case "rope.scaling.long_factor": return scaling?["long_factor"]
    case "rope.scaling.yarn_beta_fast": return scaling?["beta_fast"]
    case "rope.scaling.yarn_beta_slow": return scaling?["beta_slow"]
    case "rope.scaling.attention_factor": return scaling?["attention_factor"]
    case "attention.sliding_window_pattern":
      return config["sliding_window_pattern"] ?? config["_sliding_window_pattern"]
    case "attention.scale":
      guard let scalar = config["query_pre_attn_scalar"]?.number, scalar > 0 else { return nil }
      return .number(1 / scalar.squareRoot())
    default: return HuggingFaceNames.metadata[key].flatMap { config[$0] }
    }
  }
}

extension ModelConfiguration {
  /// The configuration that a folder states, for a vocabulary of some size.
  package init(_ folder: SafetensorsFolder, vocabularySize: Int) throws(ModelError) {
    let metadata = try ModelMetadata(folder)
    let architecture = try Architectures.named(metadata.architecture)
    self = try architecture.configuration(metadata, vocabularySize: vocabularySize)
  }
}

extension MetadataValue {
  fileprivate init?(_ value: JSONValue?) {
    switch value {
    case .integer(let value)?: self = .integer(value)
    case .number(let value)?: self = .number(value)
    case .bool(let value)?: self = .flag(value)
    case .string(let value)?: self = .text(value)
    case .array(let value)?:
      let numbers = value.compactMap(\.number)
      self = numbers.count == value.count ? .numbers(numbers) : .text("list of \(value.count)")
    case .object?: self = .text("an object")
    case .null?, nil: return nil
    }
  }
}
