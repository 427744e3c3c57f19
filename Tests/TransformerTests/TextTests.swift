import Foundation
import Testing
import Transformer

@Suite struct TextTests {
  static let sentences = [
    "The dog (a Dackel) didn't bite the man; it's 3.14 % of 1,000!",
    "Überraschend große Häuser – „Zitat“ und 東京 …", "a", "x  y\tz", "e\u{301}te\u{301}",
    "library for reading and writing files", "libraries for the writing of large files",
  ]

  /// Joining words gives the text, with single spaces.
  @Test func wordsJoinToText() {
    for sentence in Self.sentences {
      let expected = sentence.split(whereSeparator: \.isWhitespace).joined(separator: " ")
      #expect(WordSplitter.text(WordSplitter.words(sentence).joined()) == expected)
    }
    #expect(WordSplitter.words("a\u{2581}b") == ["\u{2581}a", "_", "b"])
    #expect(WordSplitter.words(" \n ").isEmpty)
  }

  /// Learnt text is encoded without unknowns and decoded to itself; files keep a vocabulary.
  @Test func vocabularyRoundTrip() throws {
    let vocabulary = SubwordVocabulary(learning: Self.sentences, mergeCount: 60)
    #expect(Array(vocabulary.tokens.prefix(3)) == ["<unk>", "<s>", "</s>"])
    #expect(Set(vocabulary.tokens).count == vocabulary.tokens.count)
    for sentence in Self.sentences {
      let tokens = vocabulary.encode(sentence)
      #expect(!tokens.contains(SubwordVocabulary.unknown))
      let expected = sentence.split(whereSeparator: \.isWhitespace).joined(separator: " ")
      #expect(
        vocabulary.decode([SubwordVocabulary.start] + tokens + [SubwordVocabulary.end]) == expected)
    }
    #expect(vocabulary.encode("files").count < 5)
    #expect(vocabulary.encode("Ж").last == SubwordVocabulary.unknown)
    let folder = FileManager.default.temporaryDirectory.appending(
      path: "vocabulary-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try vocabulary.save(folder: folder.path)
    let read = try SubwordVocabulary(folder: folder.path)
    #expect(read.tokens == vocabulary.tokens)
    #expect(read.encode(Self.sentences) == vocabulary.encode(Self.sentences))
    try "<unk>\n<s>\n".write(
      to: folder.appending(path: "vocabulary.txt"), atomically: true, encoding: .utf8)
    #expect(throws: SubwordVocabulary.Failure.self) {
      try SubwordVocabulary(folder: folder.path)
    }
  }

  /// Every epoch visits every pair once; batches keep to the limit; numbers decide.
  @Test(arguments: [false, true])
  func batchOrder(sorted: Bool) {
    let lengths = (0..<97).map { $0 % 13 + 1 } + [500]
    var order = BatchOrder(lengths: lengths, tokens: 40, seed: 3, sortsByLength: sorted)
    var seen: [Int] = []
    var batches: [[Int]] = []
    while seen.count < 2 * lengths.count {
      let batch = order.batch(batches.count)
      #expect(batch.count == 1 || batch.reduce(0) { $0 + lengths[$1] } <= 40)
      batches.append(batch)
      seen += batch
      if seen.count == lengths.count { #expect(Set(seen).count == lengths.count) }
    }
    #expect(order.currentEpoch == 1)
    // The next epoch puts other pairs together.
    #expect(Set(batches.map { Set($0) }).count > batches.count * 3 / 4)
    #expect(Set(seen.suffix(lengths.count)).count == lengths.count)
    var again = BatchOrder(lengths: lengths, tokens: 40, seed: 3, sortsByLength: sorted)
    #expect(again.batch(batches.count - 1) == batches.last)
    #expect(again.batch(2) == batches[2])
    var other = BatchOrder(lengths: lengths, tokens: 40, seed: 4, sortsByLength: sorted)
    #expect(other.batch(0) != batches[0])
  }
}
