import Devices
import Testing

@Suite struct CounterRandomTests {
  /// Philox4x32-10's published known answers (Random123's kat_vectors).
  @Test func randomWordsAreTheKnownAnswers() {
    let known: SIMD4<UInt32> = [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]
    #expect(CounterRandom(seed: 0).words(0) == known)
  }

  @Test func drawsAndCountersAreApart() {
    let point = CounterRandom.Point(seed: 3, counter: 5)
    #expect(point.uniform() == CounterRandom(seed: 3).uniform(5))
    var numbers = Set<Double>()
    for counter in UInt64(0)..<20 {
      for draw in UInt32(0)..<20 {
        let number = CounterRandom.Point(seed: 3, counter: counter).uniform(draw: draw)
        #expect((0..<1).contains(number))
        numbers.insert(number)
      }
    }
    #expect(numbers.count == 400)
  }
}
