package import Checkpoints
import Glibc
import Tensors

/// A model of a few thousand random weights, written as a real GGUF file: everything from opening
/// the file to the logits runs on it as on a large one, without a network.
package struct TinyModel {
  /// The architecture's name.
  package var architecture = "llama"
  /// The length of a hidden vector.
  package var width = 32
  /// The number of blocks.
  package var layers = 2
  /// The number of query heads.
  package var heads = 4
  /// The number of key and value heads.
  package var kvHeads = 2
  /// The context that the metadata states.
  package var context = 256
  /// Tensors to leave out.
  package var missing: Set<String> = []
  /// Metadata to replace or add, by key without the architecture.
  package var overrides: [String: GGUFWriter.Value] = [:]

  /// A Llama of 2 layers.
  package init() {}

  /// 256 bytes, four control tokens and no merges: every text is as many tokens as bytes.
  private static let vocabulary: [String] =
    (0..<256).map { byte in
      // GPT-2's alphabet: printable bytes stand for themselves, the others for U+0100 and up.
      let printable = (33...126).contains(byte) || (161...172).contains(byte) || byte >= 174
      let others = (0..<byte).count { other in
        !((33...126).contains(other) || (161...172).contains(other) || other >= 174)
      }
      return String(Unicode.Scalar(UInt32(printable ? byte : 256 + others)) ?? "?")
    } + ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]

  private static let template = """
    {% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}\
    {% if add_generation_prompt %}<|assistant|>{% endif %}
    """

  /// The file's bytes.
  package func bytes() -> [UInt8] {
    var writer = GGUFWriter()
    writer.set("general.architecture", .string(architecture))
    var facts: [String: GGUFWriter.Value] = [
      "embedding_length": .uint32(UInt32(width)), "block_count": .uint32(UInt32(layers)),
      "feed_forward_length": .uint32(UInt32(2 * width)),
      "attention.head_count": .uint32(UInt32(heads)),
      "attention.head_count_kv": .uint32(UInt32(kvHeads)),
      "context_length": .uint32(UInt32(context)),
      "attention.layer_norm_rms_epsilon": .float32(1e-5),
    ]
    facts.merge(overrides) { $1 }
    for (key, value) in facts.sorted(by: { $0.key < $1.key }) {
      writer.set("\(architecture).\(key)", value)
    }
    writer.set("tokenizer.ggml.model", .string("gpt2"))
    writer.set("tokenizer.ggml.pre", .string("gpt-2"))
    writer.set("tokenizer.ggml.tokens", .strings(Self.vocabulary))
    writer.set(
      "tokenizer.ggml.token_type",
      .int32s(Self.vocabulary.indices.map { $0 < 256 ? 1 : 3 }))
    writer.set("tokenizer.ggml.merges", .strings([]))
    writer.set("tokenizer.ggml.eos_token_id", .uint32(256))
    writer.set("tokenizer.chat_template", .string(Self.template))

    var random = SplitMix(state: 7)
    func add(_ name: String, _ shape: [Int], around centre: Float = 0) {
      let count = shape.reduce(1, *)
      let scale = 1 / Float(shape.last ?? 1).squareRoot()
      let values = (0..<count).map { _ in centre + scale * Self.unit(random.next()) }
      if !missing.contains(name) { writer.add(name, shape: shape, float32: values) }
    }
    let head = width / heads
    add("token_embd.weight", [Self.vocabulary.count, width])
    for layer in 0..<layers {
      add("blk.\(layer).attn_norm.weight", [width], around: 1)
      add("blk.\(layer).attn_q.weight", [heads * head, width])
      add("blk.\(layer).attn_k.weight", [kvHeads * head, width])
      add("blk.\(layer).attn_v.weight", [kvHeads * head, width])
      add("blk.\(layer).attn_output.weight", [width, heads * head])
      add("blk.\(layer).ffn_norm.weight", [width], around: 1)
      if architecture == "gemma3" {
        add("blk.\(layer).attn_q_norm.weight", [head], around: 1)
        add("blk.\(layer).attn_k_norm.weight", [head], around: 1)
        add("blk.\(layer).post_attention_norm.weight", [width], around: 1)
        add("blk.\(layer).post_ffw_norm.weight", [width], around: 1)
      }
      add("blk.\(layer).ffn_gate.weight", [2 * width, width])
      add("blk.\(layer).ffn_up.weight", [2 * width, width])
      add("blk.\(layer).ffn_down.weight", [width, 2 * width])
    }
    add("output_norm.weight", [width], around: 1)
    return writer.bytes()
  }

  /// Calls `body` with the path of the file in a temporary place.
  package func withFile<R>(_ body: (String) throws -> R) throws -> R {
    try Self.withFile(bytes(), body)
  }

  /// Calls `body` with the path of a temporary file of the given bytes.
  package static func withFile<R>(_ bytes: [UInt8], _ body: (String) throws -> R) throws -> R {
    var template = Array("/tmp/attention-test-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    guard descriptor >= 0 else { throw CannotWrite() }
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { unlink(path) }
    let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    close(descriptor)
    guard written == bytes.count else { throw CannotWrite() }
    return try body(path)
  }

  /// The temporary file could not be written.
  struct CannotWrite: Error {}

  /// Random bits as a number from −1 to 1.
  private static func unit(_ bits: UInt64) -> Float {
    Float(Int64(bitPattern: bits) >> 40) * 0x1p-23
  }
}
