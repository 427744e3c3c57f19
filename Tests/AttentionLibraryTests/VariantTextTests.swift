import Attention
import AttentionLibrary
import Testing

// A text and the same definition in Swift leave equal variants, trees and parameters.
@Suite struct VariantTextTests {
  @Test func builtInClausesCombineInOrder() throws {
    let text = try AttentionVariant(
      text: "(variant x (rope half-split 10000 1) (causal) (window 7) (soft-cap 30))")
    let expected = AttentionVariant.rope().combined(with: .causal)
      .combined(with: .slidingWindow(left: 7)).combined(with: .softCap(30))
    #expect(text == expected)
  }

  @Test func functorsAreTheNotationsOwn() throws {
    let text = try AttentionVariant(
      text: """
        (variant mine (scale 0.25) (parameter cap 30) (bit-mask bits)
          (logits (* cap (tanh (/ s cap))))
          (mask (and (<= kv-position query-position) (or (allows bits) (< kv-position 4))))
          (value (* own (select (== kv-head 0) 2 1))))
        """)
    let expected = AttentionVariant("mine", scale: 0.25) { v in
      let cap = v.parameter("cap", default: 30)
      let bits = v.bitMask("bits")
      v.logits { s, _ in cap * tanh(s / cap) }
      v.mask { at in at.kv <= at.query && (bits.allows || at.kv < 4) }
      v.value { x, at in x.own * select(at.kvHead .== 0, 2, 1) }
    }
    #expect(text == expected)
  }

  @Test func sinksMayBeBoundWithEachBatch() throws {
    let text = try AttentionVariant(
      text: "(variant sinks (causal) (per-request sink query) (sink sink))")
    let own = AttentionVariant("sinks") { v in
      let sink = v.perRequest("sink", heads: .query)
      v.sink { _ in sink }
    }
    #expect(text == AttentionVariant.causal.combined(with: own))
  }

  @Test(arguments: [
    "", "x", "(variant", "(variant)", "(variant x) y", "(variant x (logits))",
    "(variant x (scale a))",
    "(variant x (logits s s))", "(variant x (logits (+ s)))", "(variant x (mask s))",
    "(variant x (logits own))", "(variant x (value s))",
    "(variant x (parameter a 1) (parameter a 2))",
    "(variant x (rope left 1 1))", "(variant x (alibi -3))", "(variant x (of-key y))", ")(",
    "(variant x (logits (allows m)))", String(repeating: "(", count: 100_000),
  ]) func mistakesHaveMessages(text: String) {
    #expect { try AttentionVariant(text: text) } throws: { !"\($0)".isEmpty }
  }
}
