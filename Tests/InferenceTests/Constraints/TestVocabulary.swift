import Tensors
import Testing
import Tokenizers

/// Vocabularies without merges: what tokens there are is all that a constraint sees.
enum TestVocabulary {
  /// Byte-level tokens, with the end of generation last; every byte has a token of its own.
  static func byteLevel(_ texts: [[UInt8]]) throws -> Tokenizer {
    let all = (0..<256).map { [UInt8($0)] } + texts
    var facts = GGUFVocabulary(model: "gpt2", tokens: all.map(spelling) + ["<|end|>"])
    facts.pre = "gpt-2"
    facts.tokenTypes = all.map { _ in 1 } + [3]
    facts.eos = TokenID(all.count)
    return try Tokenizer(facts)
  }

  /// SentencePiece tokens: text pieces, and bytes as `<0x0A>`; the end of generation is 2.
  static func sentencePiece(_ texts: [String]) throws -> Tokenizer {
    let bytes = (0..<256).map { byte in
      let digits = String(byte, radix: 16, uppercase: true)
      return "<0x" + (digits.count < 2 ? "0" : "") + digits + ">"
    }
    let pieces = ["<unk>", "<s>", "</s>"] + bytes + texts
    var facts = GGUFVocabulary(model: "llama", tokens: pieces)
    facts.scores = pieces.indices.map { -Float($0) }
    facts.tokenTypes = [2, 3, 3] + bytes.map { _ in 6 } + texts.map { _ in 1 }
    facts.bos = 1
    facts.eos = 2
    facts.unknown = 0
    return try Tokenizer(facts)
  }

  /// GPT-2's alphabet: printable bytes stand for themselves, the others for U+0100 and up.
  private static func spelling(_ bytes: [UInt8]) -> String {
    func isPrintable(_ byte: UInt8) -> Bool {
      (33...126).contains(byte) || (161...172).contains(byte) || byte >= 174
    }
    var text = ""
    for byte in bytes {
      let others = (0..<byte).count { !isPrintable($0) }
      let value = isPrintable(byte) ? UInt32(byte) : 256 + UInt32(others)
      text.unicodeScalars.append(Unicode.Scalar(value) ?? "?")
    }
    return text
  }

  /// Tokens that cross what grammars are made of, from a seed: pieces of JSON, digits, white space,
  /// parts of characters, and chains of these.
  static func mixed(seed: UInt64, count: Int = 700) throws -> Tokenizer {
    let atoms: [String] = [
      "\"", "\":", "\": ", "\",", "\", ", "{\"", "\"}", "{", "}", "[", "]", "],", "}}", ",", ":",
      " ", "\n", "\n  ", "\\", "\\\"", "\\u", "0", "1", "12", "3.5", "-", "e", "true", "false",
      "null", "name", "age", "a", "b", "c", "ab", "é", "日本", "🙂", "T", "Z", "-0", ".", "@", "z",
    ]
    var random = SplitMix(state: seed)
    var texts: Set<[UInt8]> = [Array("🙂".utf8.prefix(2)), Array("日".utf8.suffix(2)), [0xed, 0xa0]]
    while texts.count < count {
      var bytes: [UInt8] = []
      for _ in 0...Int(random.next() % 3) {
        bytes += Array(atoms[Int(random.next() % UInt64(atoms.count))].utf8)
      }
      if random.next() % 8 == 0 { bytes.removeLast() }
      if bytes.count > 1 { texts.insert(bytes) }
    }
    return try byteLevel(texts.sorted { $0.lexicographicallyPrecedes($1) })
  }
}
