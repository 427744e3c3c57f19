/// W_o · Attention(RoPE(W_q·x), RoPE(W_k·x), W_v·x), with biases and RMSNorm on the heads where the
/// checkpoint has them.
struct SelfAttention: Sendable {
  let query: Linear
  let key: Linear
  let value: Linear
  let output: Linear
  let queryNorm: Norm?
  let keyNorm: Norm?

  init(_ weights: WeightLoader, layer: Int) throws {
    let configuration = weights.configuration
    let head = configuration.headDimension
    let (width, heads) = (configuration.width, weights.part.queryHeads.times(head))
    let kvHeads = weights.part.kvHeads.times(head)
    query = try weights.linear("blk.\(layer).attn_q", outputs: heads, inputs: width)
    key = try weights.linear("blk.\(layer).attn_k", outputs: kvHeads, inputs: width)
    value = try weights.linear("blk.\(layer).attn_v", outputs: kvHeads, inputs: width)
    output = try weights.linear("blk.\(layer).attn_output", outputs: width, inputs: heads)
    queryNorm = try weights.optionalNorm("blk.\(layer).attn_q_norm", count: head)
    keyNorm = try weights.optionalNorm("blk.\(layer).attn_k_norm", count: head)
  }

  /// Runs the layer on `normed`; the result replaces `y` or is added to it.
  func run(into y: Activation, accumulate: Bool = false, _ pass: any ForwardPass) throws {
    try pass.multiply(.normed, [(query, .queries), (key, .keys), (value, .values)])
    if let queryNorm { try pass.normaliseHeads(of: .queries, by: queryNorm) }
    if let keyNorm { try pass.normaliseHeads(of: .keys, by: keyNorm) }
    try pass.rotate()
    try pass.append()
    try pass.attend()
    try pass.project(.attended, output, into: y, accumulate: accumulate)
  }
}
