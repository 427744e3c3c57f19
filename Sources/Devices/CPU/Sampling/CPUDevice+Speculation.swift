internal import CMicrokernels
public import Tensors

extension CPUDevice {
  /// Accepts or rejects chains of drafted tokens so that what comes out is distributed as if the
  /// target had drawn it (Leviathan et al., arXiv 2211.17192; FlashInfer's
  /// `chain_speculative_sampling`).
  ///
  /// A token is accepted with probability min(1, target / draft); after the first rejection one is
  /// drawn from the excess max(target − draft, 0), and after the last acceptance from the target.
  ///
  /// - Parameters:
  ///   - chains: The drafted tokens of every request, any number of them.
  ///   - draft: The draft's probabilities, a row for every drafted token, requests one after
  ///     another: Σ nᵢ × vocabulary. `nil` where tokens were chosen without chance.
  ///   - target: The target's probabilities at the same places, and after the last one:
  ///     Σ (nᵢ + 1) × vocabulary. Rows need not sum to 1.
  ///   - random: Where each request finds its random numbers; a request takes as many `draw`s as it
  ///     tries tokens, and one more.
  public func chainSpeculativeSample(
    _ chains: [[Int]], draft: MatrixView?, target: MatrixView, random: [CounterRandom.Point]
  ) throws(OperatorFailure) -> [SpeculativeSample] {
    let drafted = chains.reduce(0) { $0 + $1.count }
    if let draft { try require(draft, "draft", rows: drafted, columns: target.columns) }
    try checkSpeculation(
      nodes: drafted + chains.count, tokens: chains.flatMap { $0 }, requests: chains.count, target,
      random)
    var first = 0
    let starts = chains.map { chain in
      defer { first += chain.count }
      return first
    }
    return speculate(
      chains.map { DraftTree(chain: $0) }, draft == nil ? .given : .independent, target, random
    ) { request, node in draft?.row(starts[request] + node) }
  }

  /// Accepts a path through each tree of drafted tokens so that what comes out is distributed as
  /// if the target had drawn it: SpecInfer's multi-step speculative sampling (arXiv 2305.09781,
  /// algorithm 2).
  ///
  /// The candidates to follow a token are tried in order. One is accepted with probability
  /// min(1, target / draft), and the walk goes on below it; a rejected one leaves the excess
  /// max(target − draft, 0), normalised, as the target of its next sibling. Where none is accepted,
  /// a token is drawn from what is left.
  ///
  /// - Parameters:
  ///   - trees: The tree of every request.
  ///   - choice: How siblings were chosen.
  ///   - draft: The draft's probabilities of what follows every node, trees one after another:
  ///     Σ nodes × vocabulary; rows of leaves are not read. `nil` for, and only for, `.given`.
  ///   - target: The target's probabilities of what follows every node: Σ nodes × vocabulary. Rows
  ///     need not sum to 1.
  ///   - random: Where each request finds its random numbers.
  public func treeSpeculativeSample(
    _ trees: [DraftTree], _ choice: DraftChoice, draft: MatrixView?, target: MatrixView,
    random: [CounterRandom.Point]
  ) throws(OperatorFailure) -> [SpeculativeSample] {
    let nodes = trees.reduce(0) { $0 + $1.count }
    try require(
      (draft == nil) == (choice == .given), "draft",
      expected: choice == .given ? "nil for given candidates" : "\(nodes) × \(target.columns)",
      found: draft.map { "\($0.rows) × \($0.columns)" } ?? "nil")
    if let draft { try require(draft, "draft", rows: nodes, columns: target.columns) }
    try checkSpeculation(
      nodes: nodes, tokens: trees.flatMap { $0.tokens.dropFirst() }, requests: trees.count, target,
      random)
    let starts = Self.starts(trees)
    return speculate(trees, choice, target, random) { request, node in
      draft?.row(starts[request] + node)
    }
  }

  private func checkSpeculation(
    nodes: Int, tokens: [Int], requests: Int, _ target: MatrixView,
    _ random: [CounterRandom.Point], _ operation: String = #function
  ) throws(OperatorFailure) {
    try requireVocabulary(target, operation)
    try require(target, "target", rows: nodes, columns: target.columns, operation)
    try require(
      random.count == requests, "random", expected: "\(requests) elements",
      found: "\(random.count)", operation)
    try requireValues(tokens, "tokens", expected: "0 to \(target.columns - 1)", operation) {
      (0..<target.columns).contains($0)
    }
  }

  /// The row of every tree's root.
  private static func starts(_ trees: [DraftTree]) -> [Int] {
    var first = 0
    return trees.map { tree in
      defer { first += tree.count }
      return first
    }
  }

  private func speculate(
    _ trees: [DraftTree], _ choice: DraftChoice, _ target: MatrixView,
    _ random: [CounterRandom.Point],
    _ draft: (_ request: Int, _ node: Int) -> UnsafeMutablePointer<Float>?
  ) -> [SpeculativeSample] {
    let starts = Self.starts(trees)
    // A row for every request tells `forEachVocabularyRow` how much work there is.
    let requests = MatrixView(target.base, rows: trees.count, columns: target.columns, stride: 0)
    let samples = forEachVocabularyRow(of: requests) { request, sampler in
      var walk = SpeculativeWalk(
        sampler: sampler, columns: target.columns, choice: choice, random: random[request])
      return walk.run(
        trees[request], target: { UnsafePointer(target.row(starts[request] + $0)) },
        draft: { node in draft(request, node).map { UnsafePointer($0) } })
    }
    return samples.map { $0 ?? SpeculativeSample(accepted: [], tokens: []) }
  }
}
