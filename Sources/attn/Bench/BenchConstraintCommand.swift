import ArgumentParser
import Devices
import Foundation
import Inference
import LanguageModels
import ModelStore
import Tensors
import Tokenizers

struct BenchConstraintCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "constraint",
    abstract: "Constrained decoding: time to compile a grammar and to fill a mask of tokens.",
    discussion: """
      Random texts follow the masks. A mask is first filled when its place in the grammar is new \
      (new), later from what is known (known). Rates are in microseconds. With --documents, the texts \
      are printed instead, one JSON string a line.
      """)

  @OptionGroup var table: TableOptions

  @Option(
    name: [.long, .short],
    help: ArgumentHelp("A model whose vocabulary is used.", valueName: "path|name"))
  var model: String?

  @Option(help: ArgumentHelp("A file with a JSON Schema.", valueName: "file"))
  var schema: String?

  @Option(help: "A regular expression.")
  var regex: String?

  @Option(help: ArgumentHelp("A file with a grammar in llama.cpp's notation.", valueName: "file"))
  var grammar: String?

  @Option(help: "Texts to follow.")
  var texts = 20

  @Option(help: "Tokens after which a text is ended as soon as it can be.")
  var length = 100

  @Option(help: "The seed of the random texts.")
  var seed: UInt64 = 1

  @Flag(help: "Print the texts.")
  var documents = false

  struct Row: Encodable {
    var grammar: String
    var vocabulary: Int
    var compileMilliseconds: Double
    var tokens: Int
    var newMedian: Double
    var new99: Double
    var knownMedian: Double
    var advanceMedian: Double
  }

  func run() throws {
    try reportingErrors {
      guard texts > 0, length >= 0 else { throw ValidationError("--texts starts at 1") }
      let location = try ModelStore().locate(model ?? ModelStore.defaultModel)
      let tokenizer = try Tokenizer(checkpoint: location.path)
      let trie = TokenTrie(tokenizer)
      var rows: [Row] = []
      for (name, grammar) in try grammars() {
        let clock = ContinuousClock()
        var constraint: TokenConstraint?
        let compile = try clock.measure { constraint = try TokenConstraint(grammar, trie: trie) }
        guard let constraint else { continue }
        var walk = ConstraintWalk(constraint, tokenizer, seed: seed, length: length)
        for _ in 0..<texts {
          if let bytes = try walk.text(), documents { try printLine(bytes) }
        }
        rows.append(
          Row(
            grammar: name, vocabulary: tokenizer.vocabularySize,
            compileMilliseconds: compile / .milliseconds(1), tokens: walk.advance.count,
            newMedian: walk.new.median, new99: percentile(walk.new, 0.99),
            knownMedian: walk.known.median, advanceMedian: walk.advance.median))
      }
      if documents { return }
      try table.print(
        rows,
        columns: [
          ("grammar", { $0.grammar }), ("vocabulary", { String($0.vocabulary) }),
          ("compile ms", { String(format: "%.2f", $0.compileMilliseconds) }),
          ("tokens", { String($0.tokens) }), ("new µs", { $0.newMedian.rounded1 }),
          ("new p99 µs", { $0.new99.rounded1 }), ("known µs", { $0.knownMedian.rounded1 }),
          ("advance µs", { String(format: "%.2f", $0.advanceMedian) }),
        ])
    }
  }

  private func printLine(_ bytes: [UInt8]) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .withoutEscapingSlashes
    let line = try encoder.encode(String(decoding: bytes, as: UTF8.self))
    Terminal.write(String(decoding: line, as: UTF8.self) + "\n")
  }

  private func grammars() throws -> [(String, ConstraintGrammar)] {
    func file(_ path: String) throws -> [UInt8] {
      guard let data = FileManager.default.contents(atPath: path) else {
        throw CommandFailure(.noInput, "cannot read \(path)")
      }
      return Array(data)
    }
    var result: [(String, ConstraintGrammar)] = []
    if let schema { result.append((schema, .jsonSchema(try JSON(parsing: file(schema))))) }
    if let regex { result.append((regex, .regex(regex))) }
    if let grammar {
      result.append((grammar, .ebnf(String(decoding: try file(grammar), as: UTF8.self))))
    }
    if !result.isEmpty { return result }
    return [
      ("JSON object", .jsonObject),
      ("schema of a person", .jsonSchema(try JSON(parsing: Self.person))),
      ("date and word", .regex("[0-9]{4}-[0-9]{2}-[0-9]{2}: \\w+( \\w+)*")),
    ]
  }

  private static let person = """
    {"type": "object", "required": ["name", "age", "address", "tags"], "properties": {
      "name": {"type": "string", "minLength": 1, "maxLength": 60},
      "age": {"type": "integer", "minimum": 0, "maximum": 150},
      "email": {"type": "string", "format": "email"},
      "address": {"type": "object", "required": ["street", "city"], "properties": {
        "street": {"type": "string"}, "city": {"type": "string"},
        "country": {"enum": ["DE", "FR", "IT", "US"]}}},
      "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 10}}}
    """
}

/// Random texts that follow a constraint's masks, and how long masks took.
private struct ConstraintWalk {
  private let constraint: TokenConstraint
  private let tokenizer: Tokenizer
  private let length: Int
  private var random: SplitMix
  /// Microseconds to fill a mask at first, again at once, and to take a token.
  private(set) var new: [Double] = []
  private(set) var known: [Double] = []
  private(set) var advance: [Double] = []

  init(_ constraint: TokenConstraint, _ tokenizer: Tokenizer, seed: UInt64, length: Int) {
    self.constraint = constraint
    self.tokenizer = tokenizer
    self.length = length
    random = SplitMix(state: seed)
  }

  /// The next text, or nil where it came to no end.
  mutating func text() throws -> [UInt8]? {
    let clock = ContinuousClock()
    var state = constraint.makeState()
    var mask = TokenMask(count: tokenizer.vocabularySize)
    var bytes: [UInt8] = []
    for step in 0..<16 * (length + 16) {
      new.append(try clock.measure { try state.fillMask(&mask) } / .microseconds(1))
      known.append(try clock.measure { try state.fillMask(&mask) } / .microseconds(1))
      if state.isComplete, step > length || random.next() % 4 == 0 { return bytes }
      let allowed = mask.allowed.filter { !tokenizer.endOfGeneration.contains($0) }
      let ending = step > length ? self.ending(allowed, state) : []
      guard let token = (ending.isEmpty ? allowed : ending).randomElement(using: &random) else {
        return state.isComplete ? bytes : nil
      }
      advance.append(clock.measure { _ = state.advance(token) } / .microseconds(1))
      bytes += tokenizer.bytes(of: token)
    }
    return nil
  }

  /// The tokens that bring a text nearer to its end: those that complete it, or close brackets.
  private func ending(_ allowed: [TokenID], _ state: ConstraintState) -> [TokenID] {
    let completing = allowed.filter { token in
      var next = state
      return next.advance(token) && next.isComplete
    }
    if !completing.isEmpty { return completing }
    return allowed.filter { tokenizer.bytes(of: $0).allSatisfy { "\"}]".utf8.contains($0) } }
  }
}
