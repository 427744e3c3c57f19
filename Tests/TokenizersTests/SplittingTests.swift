import Testing
import Tokenizers

/// The hand-written pre-tokenizers against the published regular expressions.
struct SplittingTests {
  static let names = try? Fixtures.read(Fixtures.splits).memberList.map(\.name)

  @Test(arguments: names ?? [])
  func splitsAsTheExpression(name: String) throws {
    let cases = try Fixtures.read(Fixtures.splits).member(name).list
    #expect(cases.count > 20)
    for item in cases {
      let text = try #require(item["text"]?.text)
      let words = try Tokenizer.words(of: text, preTokenizer: name)
      #expect(words == item["words"]?.list.compactMap(\.text), "\(text.debugDescription)")
    }
  }

  @Test func thereAreFixtures() { #expect((Self.names ?? []).count >= 10) }
}
