import Checkpoints
import Devices
import LanguageModels
import Testing
import TestModels

/// What a checkpoint can be refused for: a typed error that names the key or the tensor.
@Suite struct LoadingTests {
  static func load(_ edit: (inout TinyModel) -> Void) throws -> ModelBundle {
    var model = TinyModel()
    edit(&model)
    return try model.withFile { try ModelBundle(path: $0, device: CPUDevice(threads: 1)) }
  }

  @Test func aTinyModelLoads() throws {
    let bundle = try Self.load { _ in }
    #expect(bundle.model.configuration.headDimension == 8)
    #expect(bundle.model.configuration.vocabularySize == 260)
    #expect(bundle.chatTemplate != nil)
  }

  @Test func unknownArchitecture() {
    #expect {
      try Self.load { $0.architecture = "mamba" }
    } throws: { error in
      guard case .unknownArchitecture("mamba", let known)? = error as? ModelError else {
        return false
      }
      return known.contains("llama")
    }
  }

  @Test(arguments: [
    ("embedding_length", GGUFWriter.Value.uint32(0)), ("embedding_length", .string("wide")),
    ("block_count", .uint32(1 << 30)), ("attention.head_count", .uint32(5)),
    ("attention.head_count_kv", .uint32(3)), ("context_length", .float32(1.5)),
    ("rope.dimension_count", .uint32(3)), ("rope.freq_base", .float32(-1)),
    ("rope.scaling.type", .string("magic")), ("attention.layer_norm_rms_epsilon", .float32(.nan)),
  ])
  func unusableMetadata(_ key: String, _ value: GGUFWriter.Value) {
    #expect {
      try Self.load { $0.overrides[key] = value }
    } throws: { error in
      guard case .metadata? = error as? ModelError else { return false }
      return true
    }
  }

  @Test(arguments: ["token_embd.weight", "blk.1.attn_v.weight", "output_norm.weight"])
  func missingTensors(_ name: String) {
    #expect(throws: ModelError.missingTensor(name)) { try Self.load { $0.missing = [name] } }
  }

  @Test func wrongShapes() {
    #expect(
      throws: ModelError.shape(
        tensor: "blk.0.ffn_gate.weight", expected: [96, 32], found: [64, 32])
    ) {
      try Self.load { $0.overrides["feed_forward_length"] = .uint32(96) }
    }
  }

  /// Cut anywhere, the file is refused with an error and never read past its end.
  @Test func truncatedFiles() throws {
    let bytes = TinyModel().bytes()
    for cut in stride(from: 0, to: bytes.count - 1, by: max(1, bytes.count / 60)) {
      #expect(throws: (any Error).self) {
        try TinyModel.withFile(Array(bytes.prefix(cut))) {
          try ModelBundle(path: $0, device: CPUDevice(threads: 1))
        }
      }
    }
  }
}
