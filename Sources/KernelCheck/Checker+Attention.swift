import Attention
import Devices
import Tensors

// Attention through plan and run, against the dense reference in Double.
extension Checker {
  /// Every stored form, with keys in panels (pages of 16) and token after token (pages of 3).
  ///
  /// Each shape decodes with one variant and prefills with another; all variants do both for each
  /// stored form, page size and group.
  func checkAttention() throws {
    var turn = 0
    for type in [ElementType.float32, .float16, .bfloat16, .float8E4M3, .float8E5M2, .int8] {
      for pageSize in [16, 3] {
        for group in [1, 3, 8] {
          let heads = group == 8 ? 8 : 2 * group
          let variants = [
            AttentionVariant.causal,
            AttentionVariant.causal.combined(with: .slidingWindow(left: 5)),
            AttentionVariant.causal.combined(with: .softCap(0.5)),
            AttentionVariant.causal.combined(with: .alibi(heads: heads)),
            AttentionVariant.causal.combined(with: .rope(base: 100)),
            AttentionVariant.causal.combined(with: .rope(.interleaved, base: 100)),
          ]
          for dimension in [40, 64, 80, 128] {
            let shape = AttentionShape(
              queryHeads: heads, kvHeads: heads / group, headDimension: dimension)
            let scenarios = [turn, turn + 3].map {
              AttentionScenario(
                shape: shape, variant: variants[$0 % variants.count], pageSize: pageSize,
                elementType: type)
            }
            // Decode, an empty request among them; prefill, one with more queries than keys.
            try check(scenarios[0], [(1, 37), (1, 0), (1, 1)])
            try check(scenarios[1], [(7, 19), (3, 2)])
            turn += 1
          }
          // Every dimension is to meet every variant.
          turn += 1
          // Several score tiles of 256 keys, cut into pieces whose partial states are merged.
          let shape = AttentionShape(queryHeads: heads, kvHeads: heads / group, headDimension: 64)
          let scenario = AttentionScenario(
            shape: shape, variant: .causal, pageSize: pageSize, elementType: type)
          try check(scenario, [(1, 300), (3, 270)], workers: 3, sample: 5)
          // Page lists with gaps: programs read each key's position.
          let sparse = AttentionScenario(
            shape: shape, variant: variants[3], pageSize: pageSize, elementType: type,
            isSparse: true)
          try check(sparse, [(1, 300), (3, 70)], workers: 2, sample: 5)
        }
      }
    }
  }

  private func check(
    _ scenario: AttentionScenario, _ lengths: [AttentionScenario.Length], workers: Int = 1,
    sample: Int = 1
  ) throws {
    Matrix.releaseAll()
    let material = try AttentionScenario.Material(scenario, lengths, devices[0], &random)
    let exact = scenario.exact(material, sample: sample)
    let kept = exact.rows
    // Products in pairs round queries and weights to bf16.
    let rounds = devices.contains { $0.roundsProducts(of: scenario.elementType) }
    try check(
      .attention, "\(scenario) \(lengths)", limit: rounds ? 2e-2 : 1e-5, exact: exact.values,
      scale: exact.scale
    ) { side in
      let (output, lse) = try scenario.run(material, on: devices[side], workers: workers)
      let columns = scenario.shape.valueDimension
      let heads = scenario.shape.queryHeads
      // Each row of the comparison is an output and its log-sum-exp.
      return Matrix(kept.count, columns + 1) { i, j in
        let (token, head) = kept[i].quotientAndRemainder(dividingBy: heads)
        return j < columns ? output.view.row(token)[head * columns + j] : lse.view.row(token)[head]
      }
    }
  }
}
