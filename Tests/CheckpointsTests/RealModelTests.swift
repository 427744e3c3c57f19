import Checkpoints
import Foundation
import Tensors
import Testing

/// The default model, where it has been fetched.
@Suite struct RealModelTests {
  static let path: String = {
    let environment = ProcessInfo.processInfo.environment
    let cache =
      environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 }
      ?? (environment["HOME"] ?? "") + "/.cache"
    return cache
      + "/swift-attention/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf"
  }()

  @Test(.enabled(if: FileManager.default.fileExists(atPath: path)))
  func theDefaultModelIsRead() throws {
    let file = try GGUFFile(path: Self.path)
    #expect(try file.string("general.architecture") == "llama")
    #expect(try file.integer("llama.block_count") == 30)
    #expect(try file.number("llama.rope.freq_base") == 100_000)
    let tokens = try file.array("tokenizer.ggml.tokens")
    #expect(tokens.count == 49_152 && tokens.string(at: 1) == "<|im_start|>")
    #expect(try file.array("tokenizer.ggml.merges").string(at: 0) == "\u{120} t")
    #expect(file.tensors.count == 272)
    let embedding = try #require(file.tensor(named: "token_embd.weight"))
    #expect(embedding.shape == [49_152, 576] && embedding.type == .q8_0)
    #expect(embedding.bytes.count == 30_081_024 && file.dataStart == 1_785_664)
    let down = try #require(file.tensor(named: "blk.0.ffn_down.weight"))
    #expect(down.shape == [576, 1536] && down.type == .q4_1)
    let row = try [Float](unsafeUninitializedCapacity: 1536) { buffer, count in
      try down.dequantizeRow(
        575, into: UnsafeMutableBufferPointer(rebasing: buffer[..<1536]))
      count = 1536
    }
    #expect(row.allSatisfy { $0.isFinite } && row.contains { $0 != 0 })
  }
}
