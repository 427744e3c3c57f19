/// A pre-tokenizer by the name GGUF files give it in `tokenizer.ggml.pre`.
struct PreTokenizer: Sendable {
  var normalizers: [Normalizer] = []
  var splitters: [Splitter]
  /// A word that is a token is taken whole.
  var ignoresMerges = false
  /// The family's custom, where the file does not say.
  var addsBOS = false

  private static let gpt2 = PreTokenizer(splitters: [.gpt2])
  private static let digitsThenGPT2 = PreTokenizer(splitters: [.groups(.numbers, limit: 1), .gpt2])

  init(splitters: [Splitter], ignoresMerges: Bool = false, addsBOS: Bool = false) {
    self.splitters = splitters
    self.ignoresMerges = ignoresMerges
    self.addsBOS = addsBOS
  }

  init(named name: String) throws(Tokenizer.LoadError) {
    switch name {
    case "gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "gigachat",
      "mellum", "modern-bert", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "a.x-4.0",
      "jina-v1-en", "jina-v2-code", "roberta-bpe":
      self = Self.gpt2
    case "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b",
      "mellum2":
      self = Self.digitsThenGPT2
    case "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
      "jina-v5-nano":
      self.init(splitters: [.words(.llama3)], ignoresMerges: true, addsBOS: true)
    case "glm4", "glm5", "chatglm-bpe":
      self.init(splitters: [.words(.llama3)], ignoresMerges: name != "chatglm-bpe")
    case "dbrx", "smaug-bpe": self.init(splitters: [.words(.llama3)])
    case "qwen2", "deepseek-r1-qwen":
      self.init(splitters: [.words(.qwen2)])
      // The original composes first; GGUF has no field for it and llama.cpp does not.
      normalizers = [.nfc]
    case "kormo", "f2llmv2", "stablelm2", "hunyuan", "megrez",
      "solar-open", "grok-2":
      self.init(splitters: [.words(.qwen2)])
    case "qwen35":
      self.init(splitters: [.words(WordRules(digits: 1, marksJoinWords: true))])
    case "seed-coder":
      self.init(splitters: [.words(WordRules(digits: 1, breaksJoinPunctuation: false))])
    case "gpt-4o", "llama4", "kanana2", "talkie":
      self.init(splitters: [.casedWords(CasedWordRules())], ignoresMerges: true)
    case "tekken":
      self.init(
        splitters: [.casedWords(CasedWordRules(contractions: false, digits: 1))],
        ignoresMerges: true, addsBOS: true)
    case "deepseek-llm":
      self.init(splitters: [
        .groups(.lineBreaks, limit: 1), .spacedRuns(.deepSeekLetters),
        .spacedRuns(.deepSeekPunctuation), .trailingSpace, .runs(.deepSeekEastAsian),
        .runs(.numbers),
      ])
    case "deepseek-coder":
      self.init(splitters: [
        .groups(.lineBreaks, limit: 1), .spacedRuns(CharacterSet(classes: .letter)),
        .spacedRuns(CharacterSet(classes: .punctuation)), .runs(.deepSeekEastAsian),
        .groups(.numbers, limit: 1),
      ])
    case "deepseek-v3", "hunyuan-dense", "joyai-llm":
      self.init(splitters: [
        .groups(.numbers, limit: 3), .runs(.deepSeekV3EastAsian), .deepSeekWords,
      ])
    case "falcon":
      self.init(splitters: [.runs(.falconPunctuation), .gpt2, .exact(.asciiDigits, length: 3)])
    case "default":
      self.init(splitters: [
        .runs(.defaultPunctuation), .gpt2, .runs(.numbers), .exact(.asciiDigits, length: 3),
      ])
    case "bloom", "poro-chat", "gpt3-finnish": self.init(splitters: [.blankRuns(.bloomWord)])
    case "viking":
      self.init(splitters: [.blankRuns(.bloomWord), .groups(.numbers, limit: 1)])
    case "gemma4": self.init(splitters: [.runs(CharacterSet(ranges: [0x0a...0x0a]))])
    default: throw .unknownPreTokenizer(name)
    }
  }
}

extension Tokenizer {
  /// The words that a pre-tokenizer of this name makes of a text, for tests.
  package static func words(
    of text: String, preTokenizer name: String
  ) throws(LoadError) -> [String] {
    let scalars = ScalarText(text)
    var words: [Range<Int>] = scalars.count == 0 ? [] : [0..<scalars.count]
    for splitter in try PreTokenizer(named: name).splitters {
      var finer: [Range<Int>] = []
      for word in words { splitter.split(scalars, word) { finer.append($0) } }
      words = finer
    }
    return words.map { String(decoding: scalars.bytes[scalars.byteRange($0)], as: UTF8.self) }
  }
}
