import Inference
import LanguageModels
import Tokenizers

/// In which chunks of a stream the usage is told.
enum StreamUsage: Sendable {
  case none
  /// In one of its own, after all others.
  case last
  /// In every one, as far as its choice has come, and after all others.
  case every

  init(_ options: inout Fields) throws(APIError) {
    let includes = try options.bool("include_usage") ?? false
    // vLLM's field; without the other one it asks for nothing.
    let isContinuous = try options.bool("continuous_usage_stats") ?? false
    self = !includes ? .none : isContinuous ? .every : .last
  }
}

/// The fields that chat and completion requests share: how tokens are chosen, when a text ends,
/// and how the answer is delivered.
struct GenerationFields {
  var choices = 1
  var maxTokens: Int?
  var minTokens = 0
  var sampling = SamplingParameters()
  var stops: [String] = []
  var stopTokens: Set<TokenID> = []
  var ignoresEndOfGeneration = false
  var showsSpecialTokens = false
  var streams = false
  var usage = StreamUsage.none
  var grammar: ConstraintGrammar?

  /// The most choices and stop strings that one request may ask for.
  static let mostStops = 16

  init(_ fields: inout Fields, served: ServedModel, maxTokensNames: [String]) throws(APIError) {
    try served.check(fields.string("model"), at: fields.path(of: "model"))
    choices = try fields.integer("n", in: 1...served.limits.choices) ?? 1
    for name in maxTokensNames {
      // Both of a chat's names may be given; the newer, first one counts.
      let value = try fields.integer(name, in: 0...Int.max)
      if maxTokens == nil { maxTokens = value }
    }
    minTokens = try fields.integer("min_tokens", in: 0...Int.max) ?? 0
    if let maxTokens, minTokens > maxTokens {
      throw .invalid(
        fields.path(of: "min_tokens"),
        "'min_tokens' is \(minTokens); expected at most the \(maxTokens) tokens allowed")
    }
    sampling = try Self.sampling(&fields, served)
    stops = try Self.stops(&fields)
    stopTokens = Set(try Self.tokens(&fields, "stop_token_ids", served) ?? [])
    ignoresEndOfGeneration = try fields.bool("ignore_eos") ?? false
    showsSpecialTokens = !(try fields.bool("skip_special_tokens") ?? true)
    streams = try fields.bool("stream") ?? false
    if var options = try fields.fields("stream_options") {
      usage = try StreamUsage(&options)
      try options.refuse(
        "include_obfuscation", unless: false, because: "this server pads no stream")
      try options.finish()
      guard streams else {
        throw .invalid(
          fields.path(of: "stream_options"), "'stream_options' needs 'stream' to be true")
      }
    }
    grammar = try ConstraintGrammar(structuredOutputs: &fields)
    // They name things for OpenAI's own bookkeeping; nothing of the answer depends on them.
    _ = try fields.string("user")
    _ = try fields.string("safety_identifier")
    _ = try fields.string("prompt_cache_key")
    try fields.refuse("store", unless: false, because: "this server keeps no answers")
    try fields.refuse("metadata", unless: .object([]), because: "this server keeps no answers")
    try fields.refuse(
      "service_tier", unless: "auto", "default", because: "this server has one tier")
  }

  private static func sampling(
    _ fields: inout Fields, _ served: ServedModel
  ) throws(APIError) -> SamplingParameters {
    var sampling = SamplingParameters()
    sampling.temperature =
      try fields.number("temperature", "a number from 0 to 2") { $0 >= 0 && $0 <= 2 } ?? 1
    sampling.topP =
      try fields.number("top_p", "a number above 0 and at most 1") { $0 > 0 && $0 <= 1 } ?? 1
    sampling.minP = try fields.number("min_p", "a number from 0 to 1") { $0 >= 0 && $0 <= 1 } ?? 0
    // -1 is how some clients write "all".
    sampling.topK = max(try fields.integer("top_k", in: -1...Int(Int32.max)) ?? 0, 0)
    let penalty = "a number from -2 to 2"
    sampling.presencePenalty =
      try fields.number("presence_penalty", penalty) { abs($0) <= 2 } ?? 0
    sampling.frequencyPenalty =
      try fields.number("frequency_penalty", penalty) { abs($0) <= 2 } ?? 0
    sampling.repetitionPenalty =
      try fields.number("repetition_penalty", "a number above 0 and at most 100") {
        $0 > 0 && $0 <= 100
      } ?? 1
    sampling.seed =
      try fields.integer("seed", in: Int.min...Int.max).map { UInt64(bitPattern: Int64($0)) }
      ?? .random(in: .min ... .max)
    sampling.logitBias = try logitBias(&fields, served)
    return sampling
  }

  private static func logitBias(
    _ fields: inout Fields, _ served: ServedModel
  ) throws(APIError) -> [TokenID: Float] {
    guard let value = fields.value("logit_bias") else { return [:] }
    guard case .object(let members) = value else {
      throw fields.wrong("logit_bias", value, "an object from token ids to numbers")
    }
    var result: [TokenID: Float] = [:]
    for member in members {
      let path = "\(fields.path(of: "logit_bias")).\(member.name.brief)"
      guard let id = Int(member.name), (0..<served.vocabularySize).contains(id) else {
        throw .invalid(
          path, "'\(path)': expected a token id from 0 to \(served.vocabularySize - 1)")
      }
      guard let bias = member.value.double, abs(bias) <= 100 else {
        throw .invalid(
          path, "'\(path)' is \(member.value.brief); expected a number from -100 to 100")
      }
      result[TokenID(id)] = Float(bias)
    }
    return result
  }

  private static func stops(_ fields: inout Fields) throws(APIError) -> [String] {
    guard let value = fields.value("stop") else { return [] }
    let items: [JSON] =
      switch value {
      case .string: [value]
      case .array(let items): items
      default: throw fields.wrong("stop", value, "a string or an array of strings")
      }
    guard items.count <= mostStops else {
      throw .invalid(
        fields.path(of: "stop"), "'stop' has \(items.count) strings; expected at most \(mostStops)")
    }
    var result: [String] = []
    for (i, item) in items.enumerated() {
      guard case .string(let text) = item, !text.isEmpty else {
        throw fields.wrong(value == item ? "stop" : "stop[\(i)]", item, "a string with text in it")
      }
      result.append(text)
    }
    return result
  }

  /// An array of token ids of the vocabulary.
  static func tokens(
    _ fields: inout Fields, _ name: String, _ served: ServedModel
  ) throws(APIError) -> [TokenID]? {
    guard let items = try fields.array(name) else { return nil }
    return try tokens(items, at: fields.path(of: name), served)
  }

  static func tokens(
    _ items: [JSON], at path: String, _ served: ServedModel
  ) throws(APIError) -> [TokenID] {
    var result: [TokenID] = []
    result.reserveCapacity(items.count)
    for (i, item) in items.enumerated() {
      guard case .integer(let id) = item, (0..<served.vocabularySize).contains(id) else {
        throw .invalid(
          "\(path)[\(i)]",
          "'\(path)[\(i)]' is \(item.brief); expected a token id from 0 to "
            + "\(served.vocabularySize - 1)")
      }
      result.append(TokenID(id))
    }
    return result
  }
}
