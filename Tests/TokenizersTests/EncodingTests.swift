import Testing
import Tokenizers

/// Small vocabularies against the implementations that trained them.
struct EncodingTests {
  static let json: [(name: String, fixture: String)] = [
    ("byte-level BPE", Fixtures.byteLevel), ("WordPiece", Fixtures.wordPiece),
    ("Unigram", Fixtures.unigram),
  ]

  static let gguf: [(name: String, fixture: String)] = [
    ("SentencePiece BPE", Fixtures.sentencePieceBPE),
    ("SentencePiece unigram", Fixtures.sentencePieceUnigram),
  ]

  static func tokenizer(_ fixture: JSON) throws -> Tokenizer {
    if let facts = fixture["facts"] { return try Tokenizer(GGUFVocabulary(facts)) }
    return try Tokenizer(tokenizerJSON: fixture.member("tokenizer").bytes)
  }

  @Test(arguments: json + gguf)
  func encodesAsTheReference(name: String, fixture: String) throws {
    let fixture = try Fixtures.read(fixture)
    let tokenizer = try Self.tokenizer(fixture)
    let cases = try fixture.member("cases").list
    #expect(cases.count > 20)
    for item in cases {
      let text = try #require(item["text"]?.text)
      let ids = tokenizer.encode(text, addSpecialTokens: false)
      #expect(ids == item["ids"]?.tokenIDs, "\(text.debugDescription)")
      if let decoded = item["decoded"]?.text {
        #expect(tokenizer.decode(ids, skipSpecial: false) == decoded, "\(text.debugDescription)")
      }
    }
    if let ids = fixture["withSpecial"]?.tokenIDs, !ids.isEmpty {
      #expect(tokenizer.encode("The river") == ids)
    }
  }

  @Test(arguments: json + gguf)
  func streamingGivesTheWholeText(name: String, fixture: String) throws {
    let tokenizer = try Self.tokenizer(Fixtures.read(fixture))
    // Every order of ids is a possible output of a model, UTF-8 or not.
    var state: UInt64 = 7
    for length in 0..<200 {
      let ids: [TokenID] = (0..<length % 23).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return TokenID((state >> 33) % UInt64(tokenizer.vocabularySize))
      }
      for skipSpecial in [true, false] {
        var stream = StreamingDetokenizer(tokenizer, skipSpecial: skipSpecial)
        var text = ids.map { stream.append($0) }.joined()
        text += stream.finish()
        #expect(text == tokenizer.decode(ids, skipSpecial: skipSpecial), "\(ids)")
      }
    }
  }

  @Test func bytesWaitUntilACharacterIsWhole() throws {
    let tokenizer = try Self.tokenizer(Fixtures.read(Fixtures.byteLevel))
    // Byte-level vocabularies spell byte F0 as U+00F0, 9F as U+0141, 99 as U+013B, 82 as U+0124.
    let ids = try ["ð", "Ł", "Ļ", "Ĥ"].map { try #require(tokenizer.tokenID(for: $0)) }
    var stream = StreamingDetokenizer(tokenizer)
    #expect(ids.map { stream.append($0) } == ["", "", "", "🙂"])
    #expect(stream.append(ids[0]) == "")
    #expect(stream.append(ids[0]) == "\u{fffd}", "the first byte cannot be completed any more")
    #expect(stream.finish() == "\u{fffd}")
    #expect(stream.finish() == "")
  }

  @Test func rolesAndSpellings() throws {
    let tokenizer = try Self.tokenizer(Fixtures.read(Fixtures.byteLevel))
    #expect(tokenizer.tokenID(for: "<s>") == 0)
    #expect(tokenizer.piece(of: 1) == "<|end|>")
    #expect(tokenizer.piece(of: -1) == nil)
    #expect(tokenizer.piece(of: TokenID(tokenizer.vocabularySize)) == nil)
    #expect(tokenizer.bytes(of: .max) == [])
    #expect(tokenizer.bos == 0)
    #expect(tokenizer.endOfGeneration == [1])
    #expect(tokenizer.isSpecial(0) && !tokenizer.isSpecial(2))
    #expect(tokenizer.decode([0, -5, .max, 1]) == "")
    let space = try #require(tokenizer.tokenID(for: "Ġ"))
    #expect(tokenizer.bytes(of: space) == [0x20])
  }

  @Test(arguments: json + gguf)
  func textNeverBecomesAControlToken(name: String, fixture: String) throws {
    let tokenizer = try Self.tokenizer(Fixtures.read(fixture))
    var specials: [TokenID] = []
    for id in 0..<TokenID(tokenizer.vocabularySize) where tokenizer.isSpecial(id) {
      specials.append(id)
      let piece = try #require(tokenizer.piece(of: id))
      let unknown = tokenizer.unknown
      for text in [piece, "a\(piece)", "\(piece)b", " \(piece) ", piece + piece] {
        let ids = tokenizer.encode(text, addSpecialTokens: false)
        #expect(!ids.contains { tokenizer.isSpecial($0) && $0 != unknown }, "\(text)")
        let parsed = tokenizer.encode(text, addSpecialTokens: false, parseSpecial: true)
        #expect(parsed.contains(id), "\(text)")
      }
    }
    #expect(!specials.isEmpty)
  }

  @Test func longLinesAreNotQuadratic() throws {
    // Ten times the text takes about ten times the work: at 200,000 symbols a quadratic merge would
    // need hours, and this test would not end.
    for fixture in [Fixtures.byteLevel, Fixtures.sentencePieceBPE, Fixtures.sentencePieceUnigram] {
      let tokenizer = try Self.tokenizer(Fixtures.read(fixture))
      for unit in ["the", "ab", "水"] {
        let text = String(repeating: unit, count: 200_000 / unit.utf8.count)
        let ids = tokenizer.encode(text, addSpecialTokens: false)
        #expect(tokenizer.decode(ids) == text || ids.contains { $0 == tokenizer.unknown })
      }
    }
  }
}
