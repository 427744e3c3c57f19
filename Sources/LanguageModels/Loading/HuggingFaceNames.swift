/// The names that Hugging Face's checkpoints give to what GGUF calls by shorter ones.
///
/// Architectures ask for tensors and metadata by GGUF's names; a folder of safetensors is read
/// through these tables.
enum HuggingFaceNames {
  /// GGUF's name of the architecture that `config.json` calls by another.
  static let architectures = ["gemma3_text": "gemma3", "mistral": "llama", "smollm": "llama"]

  /// GGUF's key for a key of `config.json`.
  static let metadata: [String: String] = [
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.sliding_window": "sliding_window",
    "attention.sliding_window_pattern": "sliding_window_pattern",
    "context_length": "max_position_embeddings",
  ]

  /// The name of GGUF's tensor `name` in an original checkpoint.
  static func tensor(_ name: String, architecture: String) -> String {
    let parts = name.split(separator: ".", maxSplits: 2).map(String.init)
    guard parts.count == 3, parts[0] == "blk" else { return whole[name] ?? name }
    let block = architecture == "gemma3" ? gemmaBlock : [:]
    let suffix = parts[2].split(separator: ".").map(String.init)
    guard suffix.count == 2, let inner = block[suffix[0]] ?? llamaBlock[suffix[0]] else {
      return name
    }
    return "model.layers.\(parts[1]).\(inner).\(suffix[1])"
  }

  private static let whole = [
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
  ]

  private static let llamaBlock = [
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
  ]

  private static let gemmaBlock = [
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
  ]
}
