import Inference
import Tokenizers

/// What a request says its answer must look like.
extension ConstraintGrammar {
  /// `structured_outputs`, as vLLM names it.
  init?(structuredOutputs fields: inout Fields) throws(APIError) {
    guard var inner = try fields.fields("structured_outputs") else { return nil }
    var found: [ConstraintGrammar] = []
    if let schema = inner.value("json") {
      // A schema may also come as a string.
      found.append(.jsonSchema(try Self.schema(schema, at: inner.path(of: "json"))))
    }
    if try inner.bool("json_object") ?? false { found.append(.jsonObject) }
    if let pattern = try inner.string("regex") { found.append(.regex(pattern)) }
    if let grammar = try inner.string("grammar") { found.append(.ebnf(grammar)) }
    if let items = try inner.array("choice") {
      var choices: [String] = []
      for (i, item) in items.enumerated() {
        guard case .string(let text) = item else {
          throw inner.wrong("choice[\(i)]", item, "a string")
        }
        choices.append(text)
      }
      if choices.isEmpty { throw inner.wrong("choice", .array(items), "at least one string") }
      found.append(.choice(choices))
    }
    try inner.finish()
    guard let one = found.first, found.count == 1 else {
      throw .invalid(
        fields.path(of: "structured_outputs"),
        "'structured_outputs' has \(found.count) of 'json', 'json_object', 'regex', 'choice', "
          + "'grammar'; expected one")
    }
    self = one
  }

  /// `response_format`, as OpenAI names it.
  init?(responseFormat fields: inout Fields) throws(APIError) {
    guard var format = try fields.fields("response_format") else { return nil }
    guard let type = try format.choice("type", of: ["text", "json_object", "json_schema"]) else {
      throw format.missing("type")
    }
    var result: ConstraintGrammar?
    if type == "json_object" { result = .jsonObject }
    if type == "json_schema" {
      guard var wrapper = try format.fields("json_schema") else {
        throw format.missing("json_schema")
      }
      guard try wrapper.string("name") != nil else { throw wrapper.missing("name") }
      _ = try wrapper.string("description")
      // The schema is always followed.
      _ = try wrapper.bool("strict")
      guard let schema = wrapper.value("schema") else { throw wrapper.missing("schema") }
      result = .jsonSchema(try Self.schema(schema, at: wrapper.path(of: "schema")))
      try wrapper.finish()
    }
    try format.finish()
    guard let result else { return nil }
    self = result
  }

  private static func schema(_ value: JSON, at path: String) throws(APIError) -> JSON {
    switch value {
    case .object, .bool: return value
    case .string(let text):
      guard let parsed = try? JSON(parsing: text), case .object = parsed else {
        throw .invalid(path, "'\(path)' is a string that holds no JSON object")
      }
      return parsed
    default: throw .invalid(path, "'\(path)' is \(value.kind); expected a JSON schema")
    }
  }
}
