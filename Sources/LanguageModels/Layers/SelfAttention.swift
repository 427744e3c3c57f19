import Attention
import Devices
import Tensors

/// W_o · Attention(RoPE(W_q·x), RoPE(W_k·x), W_v·x), with biases and RMSNorm on the heads where the
/// checkpoint has them.
struct SelfAttention: Sendable {
  let query: LinearWeights
  let key: LinearWeights
  let value: LinearWeights
  let output: LinearWeights
  let queryNorm: Norm?
  let keyNorm: Norm?
  private let parallelism: TensorParallelism?

  init(_ weights: WeightLoader, layer: Int) throws {
    let configuration = weights.configuration
    let head = configuration.headDimension
    let (width, heads) = (configuration.width, configuration.headCount * head)
    let kvHeads = configuration.kvHeadCount * head
    query = try weights.linear(
      "blk.\(layer).attn_q", rows: heads, columns: width, divided: .outputs)
    key = try weights.linear(
      "blk.\(layer).attn_k", rows: kvHeads, columns: width, divided: .outputs)
    value = try weights.linear(
      "blk.\(layer).attn_v", rows: kvHeads, columns: width, divided: .outputs)
    output = try weights.linear(
      "blk.\(layer).attn_output", rows: width, columns: heads, divided: .inputs)
    queryNorm = try weights.optionalNorm("blk.\(layer).attn_q_norm", count: head)
    keyNorm = try weights.optionalNorm("blk.\(layer).attn_k_norm", count: head)
    parallelism = weights.parallelism
  }

  /// Runs the layer on the rows of `x`; the result replaces the rows of `y` or is added to them.
  func run(
    _ x: MatrixView, into y: MatrixView, accumulate: Bool = false, _ pass: ForwardPass
  ) throws {
    let configuration = pass.configuration
    LinearWeights.multiply(
      x,
      [
        .init(query, into: pass.queries), .init(key, into: pass.keys),
        .init(value, into: pass.values),
      ], isRowInvariant: pass.isBatchInvariant)
    try queryNorm?.run(pass.queries, heads: configuration.headCount, into: pass.queries, pass)
    try keyNorm?.run(pass.keys, heads: configuration.kvHeadCount, into: pass.keys, pass)
    try pass.rotate()
    let cache = pass.caches[pass.layer]
    try cache.append(keys: pass.keys, values: pass.values, slots: pass.slots, on: pass.device)
    try pass.attend()
    try output.multiply(
      pass.attended, into: y, accumulate: accumulate, sharedBy: parallelism, pass)
  }
}
