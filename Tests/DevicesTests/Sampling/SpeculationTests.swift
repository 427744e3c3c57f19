import Devices
import Glibc
import Tensors
import Testing

@Suite struct SpeculationTests {
  private static let vocabulary = 7

  /// A random distribution, some tokens of which are impossible.
  private static func distribution(_ random: inout SplitMix) -> [Float] {
    var row = (0..<vocabulary).map { _ in exp(Float.random(in: -2...2, using: &random)) }
    row[Int.random(in: 0..<vocabulary, using: &random)] = 0
    let sum = row.reduce(0, +)
    return row.map { $0 / sum }
  }

  private static func draw(_ p: [Float], _ random: inout SplitMix) -> Int {
    var rest = Double.random(in: 0..<1, using: &random) * p.reduce(0) { $0 + Double($1) }
    for (token, p) in p.enumerated() {
      rest -= Double(p)
      if rest < 0 { return token }
    }
    return p.lastIndex { $0 > 0 } ?? 0
  }

  private static func points(_ count: Int) -> [CounterRandom.Point] {
    (0..<count).map { CounterRandom.Point(seed: 21, counter: UInt64($0)) }
  }

  private func check(_ tokens: [Int], _ p: [Float], _ what: Comment) {
    var counts = [Int](repeating: 0, count: Self.vocabulary)
    for token in tokens { counts[token] += 1 }
    let (value, limit) = Distribution.chiSquare(
      counts, Distribution.normalised(p.map { Double($0) }))
    #expect(value <= limit, what)
  }

  /// The target's distribution at every place is a function of the token before, as the draft's.
  private struct Model {
    let start: [Float]
    let after: [[Float]]

    init(_ random: inout SplitMix) {
      start = SpeculationTests.distribution(&random)
      after = (0..<SpeculationTests.vocabulary).map { _ in
        SpeculationTests.distribution(&random)
      }
    }
  }

  /// The first two tokens of speculated texts are distributed as the target's own.
  @Test(arguments: [false, true])
  func chainsFollowTheTarget(given: Bool) throws {
    let device = try CPUDevice(threads: 2)
    var random = SplitMix(state: given ? 5 : 6)
    let (target, draft) = (Model(&random), Model(&random))
    let count = 12_000
    var chains: [[Int]] = []
    var (draftRows, targetRows): ([[Float]], [[Float]]) = ([], [])
    for _ in 0..<count {
      let first = given ? 2 : Self.draw(draft.start, &random)
      let second = given ? 4 : Self.draw(draft.after[first], &random)
      chains.append([first, second])
      draftRows += [draft.start, draft.after[first]]
      // Rows need not sum to 1.
      targetRows += [target.start.map { $0 * 3 }, target.after[first], target.after[second]]
    }
    let drafts = Matrix(rows: draftRows)
    let result = try device.chainSpeculativeSample(
      chains, draft: given ? nil : drafts.view, target: Matrix(rows: targetRows).view,
      random: Self.points(count))
    check(result.map { $0.tokens[0] }, target.start, "first")
    // What follows an accepted first token is known; all of them together are the pairs.
    for first in 0..<Self.vocabulary {
      let seconds = result.filter { $0.tokens[0] == first && $0.tokens.count > 1 }
      guard seconds.count > 300 else { continue }
      check(seconds.map { $0.tokens[1] }, target.after[first], "after \(first)")
    }
    for (sample, chain) in zip(result, chains) {
      let accepted = sample.accepted.count
      #expect(sample.accepted == Array(1..<accepted + 1))
      #expect(sample.tokens.count == accepted + 1)
      #expect(Array(sample.tokens.prefix(accepted)) == Array(chain.prefix(accepted)))
    }
    // As often as theory says: Σ min(p, q) of the first token.
    let overlap =
      given
      ? Double(target.start[2])
      : zip(target.start, draft.start).reduce(0) { $0 + Double(min($1.0, $1.1)) }
    let share = Double(result.count { !$0.accepted.isEmpty }) / Double(count)
    #expect(abs(share - overlap) < 5 * 0.5 / Double(count).squareRoot())
  }

  /// Trees of three candidates, two of which have a child of their own.
  @Test(arguments: [DraftChoice.independent, .distinct, .given])
  func treesFollowTheTarget(choice: DraftChoice) throws {
    let device = try CPUDevice(threads: 2)
    var random = SplitMix(state: 8)
    let (target, draft) = (Model(&random), Model(&random))
    let count = 12_000
    var trees: [DraftTree] = []
    var (draftRows, targetRows): ([[Float]], [[Float]]) = ([], [])
    for _ in 0..<count {
      var tokens = [-1]
      var left = draft.start
      for i in 0..<3 {
        let token = choice == .given ? [4, 1, 4][i] : Self.draw(left, &random)
        tokens.append(token)
        if choice == .distinct { left[token] = 0 }
      }
      for parent in [1, 3] {
        tokens.append(choice == .given ? 0 : Self.draw(draft.after[tokens[parent]], &random))
      }
      trees.append(try DraftTree(parents: [-1, 0, 0, 0, 1, 3], tokens: tokens))
      draftRows += [draft.start] + tokens.dropFirst().map { draft.after[$0] }
      targetRows += [target.start] + tokens.dropFirst().map { target.after[$0] }
    }
    let drafts = Matrix(rows: draftRows)
    let result = try device.treeSpeculativeSample(
      trees, choice, draft: choice == .given ? nil : drafts.view,
      target: Matrix(rows: targetRows).view, random: Self.points(count))
    check(result.map { $0.tokens[0] }, target.start, "first")
    for first in 0..<Self.vocabulary {
      let seconds = result.filter { $0.tokens[0] == first && $0.tokens.count > 1 }
      guard seconds.count > 300 else { continue }
      check(seconds.map { $0.tokens[1] }, target.after[first], "after \(first)")
    }
    #expect(result.contains { $0.accepted.count == 2 })
    #expect(result.contains { $0.accepted.first == 2 } && result.contains { $0.accepted.isEmpty })
    for (sample, tree) in zip(result, trees) {
      var node = 0
      for (i, next) in sample.accepted.enumerated() {
        #expect(tree.parents[next] == node && sample.tokens[i] == tree.tokens[next])
        node = next
      }
    }
  }

  @Test func equalDistributionsAcceptEverything() throws {
    let device = try CPUDevice(threads: 1)
    var random = SplitMix(state: 4)
    let row = Self.distribution(&random)
    let chain = (0..<50).map { _ in Self.draw(row, &random) }
    let result = try device.chainSpeculativeSample(
      [chain, []], draft: Matrix(repeating: row, rows: 50).view,
      target: Matrix(repeating: row, rows: 52).view, random: Self.points(2))
    #expect(result[0].accepted.count == 50 && result[0].tokens.count == 51)
    #expect(result[1].accepted.isEmpty && result[1].tokens.count == 1)
  }

  @Test func badTargetsAreContained() throws {
    let device = try CPUDevice(threads: 1)
    let rows = Matrix(rows: [
      [.nan, .nan, .nan], [0, 0, 0], [0, 1, 0], [0, .nan, 2],
    ])
    let result = try device.chainSpeculativeSample(
      [[0], [1]], draft: nil, target: rows.view, random: Self.points(2))
    #expect(result[0] == SpeculativeSample(accepted: [], tokens: []))
    #expect(result[1] == SpeculativeSample(accepted: [1], tokens: [1, 2]))
  }

  @Test func argumentsAreChecked() throws {
    let device = try CPUDevice(threads: 1)
    let rows = Matrix(3, 4, filled: 0.25)
    for body: () throws -> Void in [
      {
        _ = try device.chainSpeculativeSample(
          [[0, 1]], draft: rows.view, target: rows.view, random: Self.points(1))
      },
      {
        _ = try device.chainSpeculativeSample(
          [[0, 4]], draft: nil, target: rows.view, random: Self.points(1))
      },
      {
        _ = try device.chainSpeculativeSample([[0, 1]], draft: nil, target: rows.view, random: [])
      },
      {
        _ = try device.chainSpeculativeSample(
          [[0]], draft: nil, target: rows.view, random: Self.points(1))
      },
      {
        _ = try device.treeSpeculativeSample(
          [DraftTree(chain: [0, 1])], .given, draft: rows.view, target: rows.view,
          random: Self.points(1))
      },
      {
        _ = try device.treeSpeculativeSample(
          [DraftTree(chain: [0, 1])], .distinct, draft: nil, target: rows.view,
          random: Self.points(1))
      },
    ] {
      #expect(throws: CPUDevice.OperatorFailure.self) { try body() }
    }
    #expect(throws: DraftTree.Invalid.parent(node: 1, found: 1)) {
      try DraftTree(parents: [-1, 1], tokens: [0, 0])
    }
    #expect(throws: DraftTree.Invalid.parent(node: 0, found: 0)) {
      try DraftTree(parents: [0], tokens: [0])
    }
    #expect(throws: DraftTree.Invalid.nodeCount(parents: 0, tokens: 0)) {
      try DraftTree(parents: [], tokens: [])
    }
  }
}
