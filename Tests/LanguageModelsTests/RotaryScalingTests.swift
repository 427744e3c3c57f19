import Checkpoints
import Devices
import Glibc
import LanguageModels
import TestModels
import Testing

/// How checkpoints state the scaling of rotary embeddings, in GGUF's keys and in `config.json`.
@Suite struct RotaryScalingTests {
  typealias Scaling = RotaryEmbedding.Scaling

  /// What a tiny GGUF file with such metadata makes: heads of 8 elements, 256 tokens of context.
  private func gguf(
    _ metadata: [String: GGUFWriter.Value], vectors: [String: [Float]] = [:]
  ) throws -> ModelConfiguration {
    try LoadingTests.load { model in
      for (key, value) in metadata { model.overrides["rope.scaling.\(key)"] = value }
      model.vectors = vectors
    }.model.configuration
  }

  /// What a folder with such a `config.json` makes.
  private func huggingFace(_ members: String) throws -> ModelConfiguration {
    var template = Array("/tmp/attention-test-XXXXXX".utf8CString)
    let path = String(cString: try #require(mkdtemp(&template)))
    let config = """
      {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 64,
       "num_attention_heads": 4, "max_position_embeddings": 256, "rms_norm_eps": 1e-5, \(members)}
      """
    let files = [
      "config.json": Array(config.utf8), "model.safetensors": [2, 0, 0, 0, 0, 0, 0, 0, 123, 125],
    ]
    defer {
      for name in files.keys { unlink("\(path)/\(name)") }
      rmdir(path)
    }
    for (name, bytes) in files {
      let file = try #require(fopen("\(path)/\(name)", "w"))
      fwrite(bytes, 1, bytes.count, file)
      fclose(file)
    }
    return try ModelConfiguration(SafetensorsFolder(path: path), vocabularySize: 100)
  }

  private func scaling(_ configuration: ModelConfiguration) -> Scaling {
    configuration.attentionKinds[0].rotary.scaling
  }

  @Test func ggufFiles() throws {
    #expect(try scaling(gguf([:])) == .none)
    #expect(
      try scaling(gguf(["type": .string("linear"), "factor": .float32(4)])) == .linear(factor: 4))
    #expect(
      try scaling(
        gguf([
          "type": .string("yarn"), "factor": .float32(4), "original_context_length": .uint32(64),
          "yarn_beta_fast": .float32(16), "yarn_beta_slow": .float32(2),
        ]))
        == .yarn(factor: 4, originalContext: 64, betaFast: 16, betaSlow: 2, attentionFactor: nil))
    // Its factor multiplies YaRN's own.
    let yarn = try gguf([
      "type": .string("yarn"), "factor": .float32(4), "attn_factor": .float32(0.5),
    ])
    #expect(abs(yarn.attentionKinds[0].rotary.amplitude - 0.5 * (0.1 * log(4) + 1)) < 1e-12)
    #expect(
      try scaling(gguf([:], vectors: ["rope_freqs.weight": [1, 2, 4, 8]]))
        == .perFrequency([1, 2, 4, 8]))
  }

  @Test func longRoPEInGGUF() throws {
    let vectors: [String: [Float]] = [
      "rope_factors_short.weight": [1, 1, 2, 2], "rope_factors_long.weight": [1, 4, 8, 16],
    ]
    let configuration = try gguf(
      ["original_context_length": .uint32(64), "attn_factor": .float32(1.25)], vectors: vectors)
    #expect(
      scaling(configuration)
        == .longRoPE(
          shortFactors: [1, 1, 2, 2], longFactors: [1, 4, 8, 16], context: 256,
          originalContext: 64, attentionFactor: 1.25))
    // The model's own context is long; a runner of 64 tokens turns by the short factors.
    let plain = try gguf([:]).attentionKinds[0].rotary.frequencies
    let long = configuration.attentionKinds[0].rotary
    let short = try configuration.adapted(toContext: 64).attentionKinds[0].rotary
    #expect(zip(plain, [1, 4, 8, 16]).map { $0 / $1 } == long.frequencies)
    #expect(zip(plain, [1, 1, 2, 2]).map { $0 / $1 } == short.frequencies)
    #expect(short.amplitude == 1.25)
    #expect(throws: ModelError.self) {
      try gguf([:], vectors: ["rope_factors_short.weight": [1], "rope_factors_long.weight": [2]])
    }
    #expect(throws: ModelError.self) { try gguf(["type": .string("longrope")]) }
    #expect(throws: ModelError.self) {
      try gguf(
        [:], vectors: ["rope_factors_short.weight": [1, 1, 1, .nan]].merging(vectors) { a, _ in a })
    }
  }

  @Test func configurationFiles() throws {
    func make(_ members: String) throws -> Scaling {
      try scaling(huggingFace("\"rope_scaling\": {\(members)}"))
    }
    #expect(try scaling(huggingFace("\"rope_scaling\": null")) == .none)
    #expect(try make("\"type\": \"linear\", \"factor\": 2.0") == .linear(factor: 2))
    #expect(
      try make(
        """
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64
        """)
        == .llama3(
          factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 64))
    #expect(
      try make(
        """
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64,
        "beta_fast": 24, "attention_factor": 1.5
        """)
        == .yarn(factor: 4, originalContext: 64, betaFast: 24, betaSlow: 1, attentionFactor: 1.5))
    #expect(
      try make(
        """
        "type": "longrope", "short_factor": [1, 1.5, 2, 3], "long_factor": [2, 4, 8, 16],
        "original_max_position_embeddings": 32
        """)
        == .longRoPE(
          shortFactors: [1, 1.5, 2, 3], longFactors: [2, 4, 8, 16], context: 256,
          originalContext: 32, attentionFactor: nil))
    // Phi-3's older files: another name, and the original context outside.
    #expect(
      try scaling(
        huggingFace(
          """
          "original_max_position_embeddings": 32, "rope_scaling": {"type": "su",
          "short_factor": [1, 1, 1, 1], "long_factor": [2, 4, 8, 16]}
          """))
        == .longRoPE(
          shortFactors: [1, 1, 1, 1], longFactors: [2, 4, 8, 16], context: 256,
          originalContext: 32, attentionFactor: nil))
    for wrong in [
      "\"type\": \"magic\"", "\"type\": \"llama3\", \"factor\": 2",
      "\"type\": \"longrope\", \"short_factor\": [1, 2, 3, 4]",
      "\"type\": \"longrope\", \"short_factor\": [1, 2, 3], \"long_factor\": [1, 2, 3]",
      "\"type\": \"longrope\", \"short_factor\": \"many\", \"long_factor\": [1, 2, 3, 4]",
      "\"type\": \"linear\", \"factor\": -1",
    ] {
      #expect(throws: ModelError.self, "\(wrong)") { try make(wrong) }
    }
  }

  /// Dynamic NTK stretches the context by its factor; the frequencies are those of the longest
  /// sequence that a runner may hold.
  @Test func dynamicNTK() throws {
    let configuration = try huggingFace(
      "\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2.0}")
    #expect(scaling(configuration) == .dynamicNTK(factor: 2, originalContext: 256))
    #expect(configuration.contextLength == 512)
    func frequencies(_ context: Int) throws -> [Double] {
      try configuration.adapted(toContext: context).attentionKinds[0].rotary.frequencies
    }
    let plain = (0..<4).map { pow(10_000, -Double($0) / 4) }
    for (a, b) in zip(try frequencies(256), plain) { #expect(abs(a / b - 1) < 1e-12) }
    // 2 · 512/256 − 1 = 3, to the power 8/6.
    let base = 10_000 * pow(3.0, 8.0 / 6)
    for (i, a) in try frequencies(512).enumerated() {
      #expect(abs(a / pow(base, -Double(i) / 4) - 1) < 1e-12)
    }
    #expect(try frequencies(512) == configuration.attentionKinds[0].rotary.frequencies)
  }
}
