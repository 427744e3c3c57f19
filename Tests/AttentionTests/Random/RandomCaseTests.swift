import Attention
import Glibc
import Testing

/// Every variant × format × element type × {decode, prefill, mixed} against the Double oracle, at
/// random sizes.
///
/// By default a fixed sample; `scripts/test-long` runs 200,000 cases and more.
@Suite struct RandomCaseTests {
  /// The cases to run, in pieces: `ATTENTION_RANDOM_CASES` is `FIRST-END`.
  static let pieces: [Range<Int>] = {
    var all = 0..<2_000
    if let text = getenv("ATTENTION_RANDOM_CASES").map({ String(cString: $0) }) {
      let numbers = text.split(separator: "-").compactMap { Int($0) }
      if numbers.count == 2, 0 <= numbers[0], numbers[0] <= numbers[1] {
        all = numbers[0]..<numbers[1]
      }
    }
    return stride(from: all.lowerBound, to: all.upperBound, by: 250).map {
      $0..<min($0 + 250, all.upperBound)
    }
  }()

  @Test(arguments: pieces)
  func agreeWithTheOracle(cases: Range<Int>) throws {
    for number in cases {
      let test = RandomCase(number)
      do {
        try test.check()
      } catch {
        Issue.record("\(test): \(error)")
      }
    }
  }

  @Test func cellsAreVisitedAll() {
    #expect(RandomCase.visitsEveryCell)
  }
}
