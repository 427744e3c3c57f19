import Attention
import Glibc
import Testing

/// The laws of ⊕ and the log-sum-exp's bases.
@Suite struct AttentionStateTests {
  private func random(_ seed: UInt64, _ count: Int) -> [AttentionState] {
    var random = Random(seed)
    return (0..<count).map { _ in
      AttentionState(
        output: (0..<5).map { _ in random.float() },
        logSumExp: LogSumExp(natural: random.float() * 20))
    }
  }

  private func distance(_ a: AttentionState, _ b: AttentionState) -> Float {
    zip(a.output, b.output).map { abs($0 - $1) }.reduce(
      abs(a.logSumExp.natural - b.logSumExp.natural) / 20, max)
  }

  @Test(arguments: 0..<50)
  func mergeIsAssociativeAndCommutative(seed: Int) {
    let s = random(UInt64(seed), 3)
    #expect(distance(s[0] ⊕ s[1], s[1] ⊕ s[0]) == 0)
    #expect(distance((s[0] ⊕ s[1]) ⊕ s[2], s[0] ⊕ (s[1] ⊕ s[2])) < 1e-6)
  }

  @Test func emptyIsAnExactIdentity() {
    let state = random(7, 1)[0]
    let empty = AttentionState.empty(dimension: 5)
    #expect(state ⊕ empty == state)
    #expect(empty ⊕ state == state)
    #expect(empty ⊕ empty == empty)
    let poisoned = AttentionState(
      output: [Float](repeating: .nan, count: 5), logSumExp: .empty)
    #expect(state ⊕ poisoned == state)
    #expect(poisoned ⊕ poisoned == empty)
  }

  @Test func mergeIsAttentionOverTheUnion() {
    // Scores and one-dimensional values of six keys, split 2 + 4.
    let scores: [Double] = [0.3, -2, 5, 1.5, 4.9, -30]
    let values: [Double] = [1, -1, 2, 3, -4, 100]
    func state(_ range: Range<Int>) -> AttentionState {
      let weights = range.map { exp(scores[$0]) }
      let total = weights.reduce(0, +)
      let mean = zip(weights, range).reduce(0.0) { $0 + $1.0 * values[$1.1] } / total
      return AttentionState(
        output: [Float(mean)], logSumExp: LogSumExp(natural: Float(log(total))))
    }
    #expect(distance(state(0..<2) ⊕ state(2..<6), state(0..<6)) < 1e-6)
  }

  @Test func farApartStatesDoNotOverflow() {
    let high = AttentionState(output: [1], logSumExp: LogSumExp(natural: 1e4))
    let low = AttentionState(output: [-1], logSumExp: LogSumExp(natural: -1e4))
    #expect(high ⊕ low == high)
    #expect(low ⊕ high == high)
  }

  @Test func basesConvert() {
    let value = LogSumExp(natural: 3)
    #expect(abs(value.base2 - Float(3 / log(2.0))) < 1e-6)
    #expect(abs(LogSumExp(base2: value.base2).natural - 3) < 1e-6)
    #expect(LogSumExp.empty.base2 == -.infinity)
    #expect(LogSumExp(base2: -.infinity).isEmpty)
  }
}
