import Tokenizers

/// A function that the model may call.
struct Tool: Equatable {
  var name: String
  /// The schema of the arguments.
  var parameters: JSON
  /// The description as the request gave it; what the template sees.
  var json: JSON
}

/// Which functions a model may or must call.
enum ToolChoice: Equatable {
  case none
  case auto
  /// At least one call of any function.
  case required
  case named(String)
}

/// A chat's tools.
struct ToolFields {
  var tools: [Tool] = []
  var choice = ToolChoice.none
  var allowsParallelCalls = true

  init(_ fields: inout Fields) throws(APIError) {
    for old in ["functions", "function_call"] {
      try fields.refuse(old, because: "it was replaced by 'tools' and 'tool_choice'")
    }
    for (i, item) in (try fields.array("tools") ?? []).enumerated() {
      tools.append(try Self.tool(item, at: "\(fields.path(of: "tools"))[\(i)]"))
    }
    if let parallel = try fields.bool("parallel_tool_calls") { allowsParallelCalls = parallel }
    choice = tools.isEmpty ? .none : .auto
    guard let value = fields.value("tool_choice") else { return }
    switch value {
    case "none": choice = .none
    case "auto" where !tools.isEmpty: choice = .auto
    case "required" where !tools.isEmpty: choice = .required
    case "auto", "required":
      throw fields.wrong("tool_choice", value, "'tools' to choose from beside it")
    case .object:
      var chosen = try Fields(value, at: fields.path(of: "tool_choice"))
      guard try chosen.choice("type", of: ["function"]) != nil else { throw chosen.missing("type") }
      guard var function = try chosen.fields("function") else { throw chosen.missing("function") }
      guard let name = try function.string("name") else { throw function.missing("name") }
      guard tools.contains(where: { $0.name == name }) else {
        throw function.wrong("name", .string(name), "the name of one of the 'tools'")
      }
      try function.finish()
      try chosen.finish()
      choice = .named(name)
    default:
      throw fields.wrong("tool_choice", value, "\"none\", \"auto\", \"required\" or a function")
    }
  }

  private static func tool(_ json: JSON, at path: String) throws(APIError) -> Tool {
    var fields = try Fields(json, at: path)
    guard try fields.choice("type", of: ["function"]) != nil else { throw fields.missing("type") }
    guard var function = try fields.fields("function") else { throw fields.missing("function") }
    guard let name = try function.string("name") else { throw function.missing("name") }
    guard !name.isEmpty, name.utf8.count <= 64 else {
      throw function.wrong("name", .string(name), "a name of 1 to 64 characters")
    }
    _ = try function.string("description")
    // A call that 'tool_choice' asks for always follows the schema.
    _ = try function.bool("strict")
    let parameters = function.value("parameters") ?? ["type": "object", "properties": [:]]
    guard case .object = parameters else {
      throw function.wrong("parameters", parameters, "a JSON schema")
    }
    try function.finish()
    try fields.finish()
    return Tool(name: name, parameters: parameters, json: json)
  }
}
