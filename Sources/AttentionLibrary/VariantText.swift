package import Attention

/// A variant's text as a tree of words and lists.
indirect enum VariantText {
  case word(String)
  case list([VariantText])

  /// The most nested lists, and the most bytes of a text.
  private static let maximumDepth = 200
  private static let maximumLength = 1 << 20

  /// Reads one list from a text.
  init(parsing text: String) throws {
    guard text.utf8.count <= Self.maximumLength else {
      throw CallFailure("variant: its text has \(text.utf8.count) bytes; at most 1 MiB is read")
    }
    var stack: [[VariantText]] = []
    var word = ""
    var result: VariantText?
    func isSpace(_ c: Character) -> Bool { c == " " || c.isNewline || c == "\t" }
    for c in text {
      if c != "(", c != ")", !isSpace(c) {
        word.append(c)
        continue
      }
      if !word.isEmpty {
        guard !stack.isEmpty else { throw CallFailure("variant: “\(word)” stands outside a list") }
        stack[stack.count - 1].append(.word(word))
        word = ""
      }
      if c == "(" {
        guard result == nil else { throw CallFailure("variant: text after the end") }
        guard stack.count < Self.maximumDepth else {
          throw CallFailure("variant: more than \(Self.maximumDepth) nested lists")
        }
        stack.append([])
      } else if c == ")" {
        guard let list = stack.popLast() else { throw CallFailure("variant: “)” without “(”") }
        if stack.isEmpty {
          result = .list(list)
        } else {
          stack[stack.count - 1].append(.list(list))
        }
      }
    }
    guard word.isEmpty, stack.isEmpty, let result else {
      throw CallFailure("variant: the text ends inside a list, or is empty")
    }
    self = result
  }

  /// The first word and what follows it.
  func clause() throws -> (name: String, arguments: [VariantText]) {
    guard case .list(let parts) = self, case .word(let name)? = parts.first else {
      throw CallFailure("variant: expected a list that begins with a word")
    }
    return (name, Array(parts.dropFirst()))
  }

  func word(_ what: String) throws -> String {
    guard case .word(let word) = self else {
      throw CallFailure("variant: expected \(what), found a list")
    }
    return word
  }

  func number(_ what: String) throws -> Float {
    guard let number = Float(try word(what)) else {
      throw CallFailure("variant: \(what) must be a number, found “\(try word(what))”")
    }
    return number
  }

  /// A whole number below 2³¹.
  func integer(_ what: String) throws -> Int {
    guard let number = Int32(try word(what)) else {
      throw CallFailure("variant: \(what) must be a whole number, found “\(try word(what))”")
    }
    return Int(number)
  }
}

extension AttentionVariant {
  /// The variant of a text in the notation of `attention.h`.
  package init(text: String) throws {
    let (head, parts) = try VariantText(parsing: text).clause()
    guard head == "variant", let name = try parts.first?.word("a name") else {
      throw CallFailure("variant: expected (variant NAME …), found (\(head) …)")
    }
    var builtIn: AttentionVariant?
    var scale: Float?
    var written: [(name: String, arguments: [VariantText])] = []
    for part in parts.dropFirst() {
      let clause = try part.clause()
      if clause.name == "scale" {
        scale = try only(clause).number("scale")
      } else if let variant = try AttentionVariant(builtIn: clause) {
        builtIn = builtIn.map { $0.combined(with: variant) } ?? variant
      } else {
        written.append(clause)
      }
    }
    var failure: (any Error)?
    let own = AttentionVariant(name) { definition in
      var scope = VariantScope()
      do {
        for clause in written { try scope.define(clause, in: &definition) }
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    self = written.isEmpty ? builtIn ?? own : builtIn.map { $0.combined(with: own) } ?? own
    if let scale { self.scale = scale }
    try check()
  }

  /// A built-in variant by its clause; `nil` for other clauses.
  private init?(builtIn clause: (name: String, arguments: [VariantText])) throws {
    let arguments = clause.arguments
    func require(_ count: Int) throws {
      guard arguments.count == count else {
        throw CallFailure(
          "variant: (\(clause.name) …) has \(arguments.count) arguments; expected \(count)")
      }
    }
    switch clause.name {
    case "full", "causal", "custom-mask", "tree-mask", "document-mask", "cache-scales":
      try require(0)
    case "window", "soft-cap", "alibi", "sigmoid": try require(1)
    case "rope", "streaming": try require(3)
    default: break
    }
    switch clause.name {
    case "full": self = .full
    case "causal": self = .causal
    case "custom-mask": self = .customMask
    case "tree-mask": self = .treeMask
    case "document-mask": self = .documentMask
    case "cache-scales": self = .cacheScales
    case "window": self = .slidingWindow(left: try arguments[0].integer("the window"))
    case "soft-cap": self = .softCap(try arguments[0].number("the cap"))
    case "sigmoid": self = .sigmoid(bias: try arguments[0].number("the bias"))
    case "alibi":
      let heads = try arguments[0].integer("the number of heads")
      guard (1...1 << 20).contains(heads) else {
        throw CallFailure("variant: alibi of \(heads) heads")
      }
      self = .alibi(heads: heads)
    case "alibi-slopes": self = .alibi(slopes: try arguments.map { try $0.number("a slope") })
    case "sinks": self = .sink(logits: try arguments.map { try $0.number("a sink") })
    case "rope":
      let pairing = try arguments[0].word("a pairing")
      guard ["half-split", "interleaved"].contains(pairing) else {
        throw CallFailure("variant: pairing “\(pairing)”; expected half-split or interleaved")
      }
      let factor = try arguments[2].number("the scale")
      self = .rope(
        pairing == "half-split" ? .halfSplit : .interleaved,
        base: try arguments[1].number("theta"),
        scaling: factor == 1 ? .none : .linear(factor: factor))
    case "streaming":
      self = .streaming(
        sinks: try arguments[0].integer("the number of sinks"),
        window: try arguments[1].integer("the window"), base: try arguments[2].number("theta"))
    default: return nil
    }
  }
}

/// The only argument of a clause.
private func only(_ clause: (name: String, arguments: [VariantText])) throws -> VariantText {
  guard clause.arguments.count == 1, let argument = clause.arguments.first else {
    throw CallFailure(
      "variant: (\(clause.name) …) has \(clause.arguments.count) arguments; expected 1")
  }
  return argument
}

/// The names that a variant's text has declared so far.
struct VariantScope {
  private var numbers: [String: Symbol] = [:]
  private var tokens: [String: TokenSymbol] = [:]
  private var masks: [String: MaskSymbol] = [:]

  /// Adds a declaration or functor to a definition.
  mutating func define(
    _ clause: (name: String, arguments: [VariantText]),
    in definition: inout AttentionVariant.Definition
  ) throws {
    switch clause.name {
    case "no-softmax": definition.usesSoftmax = false
    case "parameter", "per-head", "per-dimension", "per-token", "per-query", "per-request",
      "bit-mask":
      try declare(clause, in: &definition)
    case "mask":
      let condition = try condition(try only(clause))
      definition.mask { _ in condition }
    case "query", "key", "value", "output", "logits", "sink":
      var reader = self
      reader.hasElements = clause.name != "logits" && clause.name != "sink"
      reader.hasScore = clause.name == "logits"
      let body = try only(clause)
      switch clause.name {
      case "logits":
        var failure: (any Error)?
        definition.logits { score, _ in
          do {
            reader.score = score
            return try reader.number(body)
          } catch {
            failure = error
            return score
          }
        }
        if let failure { throw failure }
      case "sink":
        let number = try reader.number(body)
        definition.sink { _ in number }
      case "query":
        let number = try reader.number(body)
        definition.query { _, _ in number }
      case "key":
        let number = try reader.number(body)
        definition.key { _, _ in number }
      case "value":
        let number = try reader.number(body)
        definition.value { _, _ in number }
      default:
        let number = try reader.number(body)
        definition.output { _, _ in number }
      }
    default: throw CallFailure("variant: unknown clause (\(clause.name) …)")
    }
  }

  private var hasElements = false
  private var hasScore = false
  private var score: Symbol?

  private mutating func declare(
    _ clause: (name: String, arguments: [VariantText]),
    in definition: inout AttentionVariant.Definition
  ) throws {
    guard let name = try clause.arguments.first?.word("a name") else {
      throw CallFailure("variant: (\(clause.name) …) needs a name")
    }
    guard numbers[name] == nil, tokens[name] == nil, masks[name] == nil else {
      throw CallFailure("variant: “\(name)” is declared twice")
    }
    let rest = Array(clause.arguments.dropFirst())
    func axis() throws -> AttentionVariant.HeadAxis {
      switch try rest.first?.word("an axis") {
      case nil, "none": return .none
      case "query": return .query
      case "kv": return .kv
      case let other?:
        throw CallFailure("variant: axis “\(other)” of \(name); expected none, query or kv")
      }
    }
    switch clause.name {
    case "parameter":
      guard rest.count == 1 else { throw CallFailure("variant: \(name) needs one value") }
      numbers[name] = definition.parameter(name, default: try rest[0].number(name))
    case "per-head": numbers[name] = definition.perHead(name, try rest.map { try $0.number(name) })
    case "per-dimension":
      numbers[name] = definition.perDimension(name, try rest.map { try $0.number(name) })
    case "per-token": tokens[name] = definition.perToken(name, heads: try axis())
    case "per-query": numbers[name] = definition.perQuery(name, heads: try axis())
    case "per-request": numbers[name] = definition.perRequest(name, heads: try axis())
    default: masks[name] = definition.bitMask(name)
    }
  }

  private func number(_ text: VariantText) throws -> Symbol {
    switch text {
    case .word(let word): return try number(named: word)
    case .list: break
    }
    let (name, arguments) = try text.clause()
    func argument(_ i: Int) throws -> Symbol { try number(arguments[i]) }
    func require(_ count: Int) throws {
      guard arguments.count == count else {
        throw CallFailure(
          "variant: (\(name) …) has \(arguments.count) arguments; expected \(count)")
      }
    }
    if let function = Self.unary[name] {
      try require(1)
      return function(try argument(0))
    }
    if let function = Self.binary[name] {
      try require(2)
      return function(try argument(0), try argument(1))
    }
    switch name {
    case "select":
      try require(3)
      return select(try condition(arguments[0]), try argument(1), try argument(2))
    case "of-key", "of-query":
      try require(1)
      let tensor = try arguments[0].word("a tensor's name")
      guard let token = tokens[tensor] else {
        throw CallFailure("variant: “\(tensor)” is no per-token tensor")
      }
      return name == "of-key" ? token.ofKey : token.ofQuery
    default: throw CallFailure("variant: unknown function “\(name)”")
    }
  }

  private func number(named word: String) throws -> Symbol {
    if let number = numbers[word] { return number }
    let vector = VectorSymbol()
    switch word {
    case "s" where hasScore: if let score { return score }
    case "own" where hasElements: return vector.own
    case "neighbour" where hasElements: return vector.neighbour
    case "opposite" where hasElements: return vector.opposite
    case "query-position": return Symbol(.position(.query))
    case "kv-position": return Symbol(.position(.kv))
    case "query-head": return Symbol(.position(.queryHead))
    case "kv-head": return Symbol(.position(.kvHead))
    case "request": return Symbol(.position(.request))
    case "query-length": return Symbol(.position(.queryLength))
    case "kv-length": return Symbol(.position(.kvLength))
    case "dimension": return Symbol(.position(.dimension))
    case "dimension-count": return Symbol(.position(.dimensionCount))
    default: break
    }
    if let value = Double(word) { return Symbol(floatLiteral: value) }
    throw CallFailure("variant: unknown name “\(word)”")
  }

  private func condition(_ text: VariantText) throws -> Condition {
    if case .word(let word) = text {
      guard let value = Bool(word) else {
        throw CallFailure("variant: expected a condition, found “\(word)”")
      }
      return Condition(booleanLiteral: value)
    }
    let (name, arguments) = try text.clause()
    func require(_ count: Int) throws {
      guard arguments.count == count else {
        throw CallFailure(
          "variant: (\(name) …) has \(arguments.count) arguments; expected \(count)")
      }
    }
    if let compare = Self.comparisons[name] {
      try require(2)
      return compare(try number(arguments[0]), try number(arguments[1]))
    }
    switch name {
    case "and":
      try require(2)
      return try condition(arguments[0]) && condition(arguments[1])
    case "or":
      try require(2)
      return try condition(arguments[0]) || condition(arguments[1])
    case "not":
      try require(1)
      return !(try condition(arguments[0]))
    case "allows":
      try require(1)
      let mask = try arguments[0].word("a mask's name")
      guard let symbol = masks[mask] else {
        throw CallFailure("variant: “\(mask)” is no bit mask")
      }
      return symbol.allows
    default: throw CallFailure("variant: “\(name)” makes no condition")
    }
  }

  private static let unary: [String: @Sendable (Symbol) -> Symbol] = [
    "neg": { -$0 }, "abs": { abs($0) }, "exp": { exp($0) }, "log": { log($0) },
    "tanh": { tanh($0) }, "sigmoid": { sigmoid($0) }, "sqrt": { sqrt($0) },
    "floor": { floor($0) }, "sin": { sin($0) }, "cos": { cos($0) },
  ]

  private static let binary: [String: @Sendable (Symbol, Symbol) -> Symbol] = [
    "+": { $0 + $1 }, "-": { $0 - $1 }, "*": { $0 * $1 }, "/": { $0 / $1 },
    "min": { min($0, $1) }, "max": { max($0, $1) }, "pow": { pow($0, $1) },
  ]

  private static let comparisons: [String: @Sendable (Symbol, Symbol) -> Condition] = [
    "<": { $0 < $1 }, "<=": { $0 <= $1 }, ">": { $0 > $1 }, ">=": { $0 >= $1 },
    "==": { $0 .== $1 },
  ]
}
